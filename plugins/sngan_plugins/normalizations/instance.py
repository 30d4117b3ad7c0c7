"""Instance normalisation of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import FeatureNorm, GroupNorm

if TYPE_CHECKING:
    from torch import nn


class Instance(Normalization, contract=1):
    """Instance norm (Ulyanov et al., 2016) over the pixels of each channel, class-conditional where asked."""

    def features(self, channels: int, classes: int | None) -> nn.Module:
        """Normalise each channel of each image over its pixels; a single pixel is thereby 0."""
        return FeatureNorm(GroupNorm(channels, channels, affine=classes is None), channels, classes)

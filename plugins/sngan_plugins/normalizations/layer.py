"""Layer normalisation of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import FeatureNorm, GroupNorm

if TYPE_CHECKING:
    from torch import nn


class Layer(Normalization, contract=1):
    """Layer norm (Ba et al., 2016) over all channels and pixels of an image, class-conditional where asked."""

    def features(self, channels: int, classes: int | None) -> nn.Module:
        """Normalise each image over its channels and pixels."""
        return FeatureNorm(GroupNorm(1, channels, affine=classes is None), channels, classes)

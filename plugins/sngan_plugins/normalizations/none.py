"""No normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import ClassAffine, NoNorm

if TYPE_CHECKING:
    from torch import nn


class NoNormalization(Normalization, contract=1):
    """Nothing: weights and features are left as they are, in the generator too.

    A conditional generator keeps its gamma and beta by class, without which it would not know what to draw.
    """

    def features(self, channels: int, classes: int | None) -> nn.Module:
        """Leave features as they are, but for what the class does to them."""
        return NoNorm() if classes is None else ClassAffine(channels, classes)

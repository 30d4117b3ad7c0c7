"""No normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import NoNorm

if TYPE_CHECKING:
    from torch import nn


class NoNormalization(Normalization, contract=1):
    """Nothing: weights and features are left as they are, in the generator too."""

    def features(self, channels: int, classes: int | None) -> nn.Module:
        """Leave features as they are."""
        return NoNorm()

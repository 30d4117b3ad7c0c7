"""Batch normalisation of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import batch_norm

if TYPE_CHECKING:
    from torch import nn


class Batch(Normalization, contract=1):
    """Batch norm (Ioffe & Szegedy, 2015), class-conditional in a conditional generator; a generator's usual choice."""

    def features(self, channels: int, classes: int | None) -> nn.Module:
        """Normalise each channel over the batch."""
        return batch_norm(channels, classes)

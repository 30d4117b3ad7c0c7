"""Weight normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.utils.parametrizations import weight_norm

from sngan_cli.contracts import Normalization
from sngan_plugins.layers import output_dim

if TYPE_CHECKING:
    from torch import nn


class Weight(Normalization, contract=1):
    """Weight normalisation: g * v / |v| for each output (Salimans & Kingma, 2016, eq. 2), g starting at |v|."""

    def constrain(self, layer: nn.Module) -> nn.Module:
        """Part the weight into a length and a direction for each output."""
        weight_norm(layer, dim=output_dim(layer))
        return layer

"""Coverage: about how many real images there are generated ones."""

from __future__ import annotations

import torch
from torch import Tensor

from sngan_cli.contracts import Field
from sngan_plugins.neighbours import NeighbourMetric, blocks


class Coverage(NeighbourMetric, contract=1):
    """Fraction of real images that have a generated one in their ball (Naeem et al., 2020, equation 7).

    Unlike recall its balls are those of the real images: it is not raised by scattered generated ones.
    """

    neighbours: int = Field(default=5, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    def measure(self, generated: Tensor, real: Tensor, radius: Tensor) -> float:
        """Fraction of real images with a generated one in their ball."""
        nearest = torch.full_like(radius, torch.inf)
        for distances in blocks(generated, real):
            torch.minimum(nearest, distances.amin(0), out=nearest)
        return (nearest < radius).double().mean().item()

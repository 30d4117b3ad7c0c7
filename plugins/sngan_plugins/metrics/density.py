"""Density: how closely generated images lie about real ones."""

from __future__ import annotations

from torch import Tensor

from sngan_cli.contracts import Field
from sngan_plugins.neighbours import NeighbourMetric, blocks


class Density(NeighbourMetric, contract=1):
    """Mean number of real balls that a generated image lies in, over k (Naeem et al., 2020, equation 6).

    Unlike precision it is not fooled by a single outlier among the real images, whose ball is large. It may exceed 1.
    """

    neighbours: int = Field(default=5, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    def measure(self, generated: Tensor, real: Tensor, radius: Tensor) -> float:
        """Balls about real images that a generated one lies in, over k."""
        balls = sum(int((distances < radius).sum()) for distances in blocks(generated, real))
        return balls / (self.neighbours * len(generated))

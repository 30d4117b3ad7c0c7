"""Coverage: about how many real images there are generated ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sngan_cli.contracts import Field, Metric
from sngan_plugins.collected import CollectedBesideReal, CollectedReal
from sngan_plugins.neighbours import blocks, check_neighbours, radii


class Coverage(Metric, contract=1):
    """Fraction of real images that have a generated one in their ball (Naeem et al., 2020, equation 7).

    Unlike recall its balls are those of the real images: it is not raised by scattered generated ones.
    """

    neighbours: int = Field(default=5, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    def reference(self, images: int) -> CollectedReal:
        """Start the features of `images` real images."""
        check_neighbours(images, self.neighbours, "coverage")
        return CollectedReal()

    def accumulator(self, images: int) -> Covered:
        """Start the features of `images` generated images."""
        check_neighbours(images, self.neighbours, "coverage")
        return Covered(self.neighbours)

    def protocol(self) -> Mapping[str, int | float | str]:
        """The number of neighbours."""
        return {"neighbours": self.neighbours}


class Covered(CollectedBesideReal):
    """Generated images, and the balls about real ones."""

    def __init__(self, neighbours: int) -> None:
        super().__init__()
        self._neighbours = neighbours

    def result(self) -> tuple[float, float | None]:
        """Fraction of real images with a generated one in their ball."""
        radius = radii(self.real, self._neighbours)
        nearest = torch.cat([distances.min(1).values for distances in blocks(self.real, self.features())])
        return (nearest < radius).double().mean().item(), None

"""Density: how closely generated images lie about real ones."""

from __future__ import annotations

from collections.abc import Mapping

from sngan_cli.contracts import Field, Metric
from sngan_plugins.collected import CollectedBesideReal, CollectedReal
from sngan_plugins.neighbours import blocks, check_neighbours, radii


class Density(Metric, contract=1):
    """Mean number of real balls that a generated image lies in, over k (Naeem et al., 2020, equation 6).

    Unlike precision it is not fooled by a single outlier among the real images, whose ball is large. It may exceed 1.
    """

    neighbours: int = Field(default=5, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    def reference(self, images: int) -> CollectedReal:
        """Start the features of `images` real images."""
        check_neighbours(images, self.neighbours, "density")
        return CollectedReal()

    def accumulator(self, images: int) -> BallsAbout:
        """Start the features of `images` generated images."""
        check_neighbours(images, self.neighbours, "density")
        return BallsAbout(self.neighbours)

    def protocol(self) -> Mapping[str, int | float | str]:
        """The number of neighbours."""
        return {"neighbours": self.neighbours}


class BallsAbout(CollectedBesideReal):
    """Generated images, and the balls about real ones."""

    def __init__(self, neighbours: int) -> None:
        super().__init__()
        self._neighbours = neighbours

    def result(self) -> tuple[float, float | None]:
        """Balls about real images that a generated one lies in, over k."""
        radius = radii(self.real, self._neighbours)
        balls = sum(int((distances < radius).sum()) for distances in blocks(self.features(), self.real))
        return balls / (self._neighbours * len(self.features())), None

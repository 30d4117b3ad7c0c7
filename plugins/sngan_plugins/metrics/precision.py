"""Precision: how many generated images look like real ones."""

from __future__ import annotations

from collections.abc import Mapping

from sngan_cli.contracts import Field, Metric
from sngan_plugins.collected import CollectedBesideReal, CollectedReal
from sngan_plugins.neighbours import check_neighbours, in_any_ball, radii


class Precision(Metric, contract=1):
    """Fraction of generated images within the manifold of real ones (Kynkaanniemi et al., 2019).

    The manifold is the union of balls about the features of the images, each as large as the distance to the k-th
    nearest other one.
    """

    neighbours: int = Field(default=3, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    def reference(self, images: int) -> CollectedReal:
        """Start the features of `images` real images."""
        check_neighbours(images, self.neighbours, "precision")
        return CollectedReal()

    def accumulator(self, images: int) -> RealBalls:
        """Start the features of `images` generated images."""
        check_neighbours(images, self.neighbours, "precision")
        return RealBalls(self.neighbours)

    def protocol(self) -> Mapping[str, int | float | str]:
        """The number of neighbours."""
        return {"neighbours": self.neighbours}


class RealBalls(CollectedBesideReal):
    """Generated images, and the balls about real ones."""

    def __init__(self, neighbours: int) -> None:
        super().__init__()
        self._neighbours = neighbours

    def result(self) -> tuple[float, float | None]:
        """Fraction of generated images in any real one's ball."""
        inside = in_any_ball(self.features(), self.real, radii(self.real, self._neighbours))
        return inside.double().mean().item(), None

"""Precision: how many generated images look like real ones."""

from __future__ import annotations

from torch import Tensor

from sngan_plugins.neighbours import NeighbourMetric, in_any_ball


class Precision(NeighbourMetric, contract=1):
    """Fraction of generated images within the manifold of real ones (Kynkaanniemi et al., 2019).

    The manifold is the union of balls about the features of the images, each as large as the distance to the k-th
    nearest other one.
    """

    def measure(self, generated: Tensor, real: Tensor, radius: Tensor) -> float:
        """Fraction of generated images in any real one's ball."""
        return in_any_ball(generated, real, radius).double().mean().item()

"""Recall: how many real images the generator could have drawn."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from sngan_plugins.neighbours import NeighbourMetric, in_any_ball


class Recall(NeighbourMetric, contract=1):
    """Fraction of real images within the manifold of generated ones (Kynkaanniemi et al., 2019).

    The manifold is the union of balls about the features of the images, each as large as the distance to the k-th
    nearest other one.
    """

    about_real: ClassVar[bool] = False

    def measure(self, generated: Tensor, real: Tensor, radius: Tensor) -> float:
        """Fraction of real images in any generated one's ball."""
        return in_any_ball(real, generated, radius).double().mean().item()

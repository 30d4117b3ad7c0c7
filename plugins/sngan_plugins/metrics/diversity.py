"""How varied pictures are within a class, beside the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from sngan_cli.contracts import Metric, UsageError
from sngan_plugins.collected import Collected, left_out

_ROWS = 1024
"""Features that are compared with all others of their class at a time: what bounds the memory."""


class Diversity(Metric, contract=1):
    """Mean distance between features of one class, over that of real pictures: 0 where all are alike, 1 as the data.

    A generator that draws one picture for a class (Odena et al., 2017, section 4.3, find such classes by MS-SSIM)
    scores near 0 there. Distances are Euclidean, between the extractor's pooled features. Unlabelled pictures are one
    class.
    """

    def reference(self, images: int) -> RealSpread:
        """Start the distances between real pictures."""
        return RealSpread()

    def accumulator(self, images: int) -> SpreadBesideReal:
        """Start the distances between `images` generated pictures."""
        if images < 2:
            raise UsageError(f"Diversity needs two images at least, not {images}: score more of them.")
        return SpreadBesideReal()

    def protocol(self) -> Mapping[str, int | float | str]:
        """What is compared."""
        return {"distance": "euclidean"}


class RealSpread(Collected):
    """Distances between real pictures."""

    def result(self) -> Mapping[str, Tensor]:
        """Mean distance within each class (K,)."""
        return {"distances": distances_of(self)}


class SpreadBesideReal(Collected):
    """Distances between generated pictures, and their ratio to those between real ones."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the distances between real pictures."""
        self._real = reference["distances"]

    def result(self) -> tuple[float, float | None]:
        """Mean over the classes that both have twice at least, over the same for real pictures."""
        generated, real = self._both
        known = ~(generated.isnan() | real.isnan())
        return (generated[known].mean() / real[known].mean()).item(), None

    def per_class(self) -> Sequence[float]:
        """The ratio of each class by itself."""
        generated, real = self._both
        ratios: list[float] = (generated / real).tolist()
        return ratios

    def remark(self) -> str | None:
        """Say where classes are left out."""
        return left_out(self.per_class())

    @cached_property
    def _both(self) -> tuple[Tensor, Tensor]:
        generated = distances_of(self)
        both = torch.full((2, max(len(generated), len(self._real))), torch.nan, dtype=torch.float64)
        both[0, : len(generated)], both[1, : len(self._real)] = generated, self._real
        return both[0], both[1]


def distances_of(pictures: Collected) -> Tensor:
    """Mean distance within each class (K,), NaN for a class of fewer than two pictures."""
    return torch.stack([mean_distance(features) for features in pictures.by_class()])


def mean_distance(features: Tensor) -> Tensor:
    """Mean Euclidean distance between different rows of features (N, D), a float64 scalar; NaN where N < 2."""
    count = len(features)
    if count < 2:
        return torch.tensor(torch.nan, dtype=torch.float64)
    # About the first row, rows that are all alike are exactly 0, and so are the distances between them.
    offsets = features.double() - features[0].double()
    rows = [torch.cdist(part, offsets).sum() for part in torch.split(offsets, _ROWS)]
    return torch.stack(rows).sum() / (count * (count - 1))

"""How varied pictures are within a class, beside the real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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
        """Start the distances between `images` real pictures."""
        check_images(images)
        return RealSpread()

    def accumulator(self, images: int) -> SpreadBesideReal:
        """Start the distances between `images` generated pictures."""
        check_images(images)
        return SpreadBesideReal()

    def protocol(self) -> Mapping[str, int | float | str]:
        """What is compared."""
        return {"distance": "euclidean"}


def check_images(images: int) -> None:
    """Raise `UsageError` where there is no distance between so few images."""
    if images < 2:
        raise UsageError(f"Diversity needs two images at least, not {images}: score more of them.")


class RealSpread(Collected):
    """Distances between real pictures."""

    def result(self) -> Mapping[str, Tensor]:
        """Mean distance within each class (K,), and how many pictures it has (K,)."""
        return {"distances": distances_of(self), "images": torch.bincount(self.labels())}


class SpreadBesideReal(Collected):
    """Distances between generated pictures, and their ratio to those between real ones."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the distances between real pictures."""
        self._real = reference

    def result(self) -> tuple[float, float | None]:
        """Mean over the classes that both have twice at least, over the same for real pictures."""
        return ratio(*self._distances[:, self._known].mean(1)).item(), None

    def per_class(self) -> Sequence[float]:
        """The ratio of each class by itself."""
        ratios: list[float] = ratio(*self._distances).tolist()
        return ratios

    def remark(self) -> str | None:
        """Say where classes are left out, and where there is nothing to divide by."""
        images = pad_sequence([torch.bincount(self.labels()), self._real["images"]], batch_first=True)
        real = self._distances[1, self._known]
        alike = int((real == 0).sum())
        constant = f"in {alike} of {images.shape[1]} classes all real images have the same features"
        none = ", so that there is no value: there is nothing to divide by" if alike == len(real) else ""
        return "; ".join(filter(None, [left_out(images), constant + none if alike else None])) or None

    @cached_property
    def _distances(self) -> Tensor:
        """Mean distance within each class, of generated and of real pictures (2, K); NaN where there is none."""
        return pad_sequence([distances_of(self), self._real["distances"]], batch_first=True, padding_value=math.nan)

    @property
    def _known(self) -> Tensor:
        """Whether there is a distance between pictures of a class on both sides; (K,) bool."""
        return ~self._distances.isnan().any(0)


def ratio(generated: Tensor, real: Tensor) -> Tensor:
    """Distances over those between real pictures, NaN where there are none or these are 0; all of one shape."""
    return torch.where(real > 0, generated / real, math.nan)


def distances_of(pictures: Collected) -> Tensor:
    """Mean distance within each class (K,), NaN for a class of fewer than two pictures."""
    features, labels = pictures.features(), pictures.labels()
    classes = [features[labels == k].to(pictures.device) for k in range(int(labels.max()) + 1)]
    return torch.stack([mean_distance(of_class).cpu() for of_class in classes])


def mean_distance(features: Tensor) -> Tensor:
    """Mean Euclidean distance between different rows of features (N, D), a float64 scalar; NaN where N < 2."""
    count = len(features)
    if count < 2:
        return torch.tensor(torch.nan, dtype=torch.float64)
    # About the first row, rows that are all alike are exactly 0, and so are the distances between them.
    offsets = features.to(torch.float64, copy=True).sub_(features[0])
    rows = [torch.cdist(part, offsets).sum() for part in torch.split(offsets, _ROWS)]
    return torch.stack(rows).sum() / (count * (count - 1))

"""Features of images, kept by the metrics that need them one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sngan_cli.contracts import Features


class Collected:
    """Pooled features (N, D) and labels (N,) of all images so far, on the CPU; unlabelled images are of class 0."""

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, features: Features) -> None:
        """Take in features (N, D) and labels (N,)."""
        pooled = features.pooled.float().cpu()
        labels = torch.zeros(len(pooled), dtype=torch.int64) if features.labels is None else features.labels.cpu()
        self._features.append(pooled)
        self._labels.append(labels)

    def features(self) -> Tensor:
        """All features (N, D), in float32; they are laid out as one tensor once."""
        self._features = [torch.cat(self._features)]
        return self._features[0]

    def by_class(self) -> list[Tensor]:
        """Features of each class, in label order; none of a class that no image is of."""
        features, labels = self.features(), torch.cat(self._labels)
        return [features[labels == k] for k in range(int(labels.max()) + 1)]


def left_out(values: Sequence[float]) -> str | None:
    """Say how many classes have no value of their own (NaN), as they have not two images on both sides, if any."""
    missing = sum(map(math.isnan, values))
    return (
        f"{missing} of {len(values)} classes are left out: they have not two images, both real and generated"
        if missing
        else None
    )


class CollectedReal(Collected):
    """Features of real images."""

    def result(self) -> Mapping[str, Tensor]:
        """The features (N, D)."""
        return {"features": self.features()}


class CollectedBesideReal(Collected):
    """Features of generated images, and those of real ones."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the features of real images."""
        self.real = reference["features"]

"""Whether a conditional generator draws the class that it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sngan_cli.contracts import Features, Metric, UsageError
from sngan_plugins.logits import class_logits


class Accuracy(Metric, contract=1):
    """Fraction of images that the extractor takes to be of the class that was asked for.

    The extractor must have been trained on the same classes in the same order, as `sngan extractors train` does on the
    run's own data set.
    """

    needs_classes: ClassVar[bool] = True
    needs_same_classes: ClassVar[bool] = True

    def accumulator(self, images: int) -> Agreement:
        """Start counting over `images` images."""
        if images < 1:
            raise UsageError(f"An accuracy needs images, not {images}: score more of them.")
        return Agreement()

    def protocol(self) -> Mapping[str, int | float | str]:
        """There are no settings."""
        return {}


class Agreement:
    """How often the extractor's class is the one that was asked for, by class."""

    def __init__(self) -> None:
        self._right: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._classes = 0

    def add(self, features: Features) -> None:
        """Take in logits (N, K) and labels (N,)."""
        assert features.labels is not None  # as this metric needs classes
        logits, labels = class_logits(features, "An accuracy"), features.labels.cpu()
        self._right.append(logits.argmax(1).cpu() == labels)
        self._labels.append(labels)
        self._classes = logits.shape[1]

    def result(self) -> tuple[float, float | None]:
        """The fraction."""
        return torch.cat(self._right).double().mean().item(), None

    def per_class(self) -> Sequence[float]:
        """The fraction within each class."""
        right, labels = torch.cat(self._right).double(), torch.cat(self._labels)
        return [right[labels == k].mean().item() for k in range(int(labels.max()) + 1)]

    def remark(self) -> str | None:
        """Say where there are no images of some classes."""
        missing = int((torch.cat(self._labels).bincount(minlength=self._classes) == 0).sum())
        return f"{missing} of {self._classes} classes are left out: there are no images of them" if missing else None

"""Whether a conditional generator draws the class that it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sngan_cli.contracts import Features, Metric, UsageError


class Accuracy(Metric, contract=1):
    """Fraction of images that the extractor takes to be of the class that was asked for.

    The extractor must have been trained on the same classes in the same order, as `sngan extractors train` does on the
    run's own data set. The score of an unconditional run is NaN.
    """

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
        self._classes = features.logits.shape[1]
        if features.labels is not None:
            labels = features.labels.cpu()
            self._right.append(features.logits.argmax(1).cpu() == labels)
            self._labels.append(labels)

    def result(self) -> tuple[float, float | None]:
        """The fraction."""
        return (torch.cat(self._right).double().mean().item() if self._right else torch.nan), None

    def per_class(self) -> Sequence[float]:
        """The fraction within each class."""
        if not self._right:
            return []
        right, labels = torch.cat(self._right).double(), torch.cat(self._labels)
        return [right[labels == k].mean().item() for k in range(int(labels.max()) + 1)]

    def remark(self) -> str | None:
        """Say where the extractor cannot know all of the classes."""
        if not self._labels:
            return "the images have no classes"
        asked = int(torch.cat(self._labels).max()) + 1
        if asked == self._classes:
            return None
        return f"the extractor tells {self._classes} classes apart, and {asked} were asked for: are they the same ones?"

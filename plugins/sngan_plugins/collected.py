"""Features of images, kept by the metrics that need them one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from weakref import ref

import torch
from torch import Tensor

from sngan_cli.contracts import Features

_LARGE = 2**26
"""Bytes of batches that are laid out as one tensor meanwhile: malloc may keep the room of small ones that are freed, as
much as all features take, and uses it again for the batches that follow."""


class Shared:
    """A function of tensors whose result is one tensor for all who ask for the same in turn: nobody is to change it.

    Metrics are shown the same batches one after the other. Nothing is kept alive here: where nobody has the last result
    any more, or it was of other tensors, it is made again.
    """

    def __init__(self, make: Callable[[Sequence[Tensor]], Tensor]) -> None:
        self._make = make
        self._of: list[ref[Tensor]] = []
        self._made: Callable[[], Tensor | None] = lambda: None

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """Make it of these, or give what was last made of these very objects."""
        made = self._made()
        if made is None or [id(tensor) for tensor in tensors] != [id(of()) for of in self._of]:
            made = self._make(tensors)
            self._of, self._made = [ref(tensor) for tensor in tensors], ref(made)
        return made


# A part of a larger tensor, such as one token of many, is copied, lest all of it be kept.
_on_host = Shared(lambda tensors: tensors[0].float().cpu().contiguous())
_laid_out = Shared(lambda tensors: torch.cat(list(tensors)))


class Collected:
    """Pooled features (N, D) and labels (N,) of all images so far, on the CPU; unlabelled images are of class 0.

    Metrics that are shown the same batches keep one copy of them together. `device` is where these were, and where
    much arithmetic with them is best done.
    """

    device = torch.device("cpu")

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._batches: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, features: Features) -> None:
        """Take in features (N, D) and labels (N,)."""
        self.device = features.pooled.device
        pooled = _on_host([features.pooled])
        labels = torch.zeros(len(pooled), dtype=torch.int64) if features.labels is None else features.labels.cpu()
        self._batches.append(pooled)
        self._labels.append(labels)
        if sum(batch.nbytes for batch in self._batches) >= _LARGE:
            self._features.append(_laid_out(self._batches))
            self._batches = []
            self._labels = [self.labels()]  # theirs lie between these batches, and would keep their room in pieces

    def features(self) -> Tensor:
        """All features (N, D), in float32; they are laid out as one tensor once."""
        parts = [*self._features, *self._batches]
        self._features, self._batches = parts if len(parts) == 1 else [_laid_out(parts)], []
        return self._features[0]

    def labels(self) -> Tensor:
        """All labels (N,)."""
        return torch.cat(self._labels)


def left_out(images: Tensor) -> str | None:
    """Say which part of the classes has fewer than two of the images (2, K), generated or real, and so no value."""
    few = images < 2
    missing, classes = int(few.any(0).sum()), images.shape[1]
    if not missing:
        return None
    counted = zip(few.sum(1).tolist(), ("generated", "real"), strict=True)
    why = ", ".join(f"fewer than two {kind} images of {count}" for count, kind in counted if count)
    none = ", so that there is no value" if missing == classes else ""
    return f"{missing} of {classes} classes are left out{none}: {why}"


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

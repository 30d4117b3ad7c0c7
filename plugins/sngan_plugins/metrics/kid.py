"""The Kernel Inception Distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sngan_cli.contracts import Field, Metric, UsageError
from sngan_plugins.collected import CollectedBesideReal, CollectedReal

_SEED = 2020
"""Seed of the subsets: torch-fidelity's, so that both draw the same ones."""


class KernelInceptionDistance(Metric, contract=1):
    """Squared maximum mean discrepancy between features, unbiased, as a mean over subsets (Binkowski et al., 2018).

    The kernel is (x.y / D + 1)^3. Unlike the FID it does not depend on the number of images in expectation, and it may
    be slightly negative.
    """

    higher_is_better: ClassVar[bool] = False
    subsets: int = Field(default=100, ge=1)
    """Subsets that the distance is averaged over."""
    subset_size: int = Field(default=1000, ge=2)
    """Images in each subset, of either kind."""

    def reference(self, images: int) -> CollectedReal:
        """Start the features of `images` real images."""
        self._check(images, "real")
        return CollectedReal()

    def accumulator(self, images: int) -> Subsets:
        """Start the features of `images` generated images."""
        self._check(images, "generated")
        return Subsets(self.subsets, self.subset_size)

    def protocol(self) -> Mapping[str, int | float | str]:
        """Number and size of the subsets."""
        return {"subsets": self.subsets, "subset_size": self.subset_size}

    def _check(self, images: int, kind: str) -> None:
        if images < self.subset_size:
            raise UsageError(
                f"A KID over subsets of {self.subset_size} needs at least as many {kind} images, not {images}: score "
                "more of them, or lower --set metrics.kid.subset_size."
            )


class Subsets(CollectedBesideReal):
    """Features of generated images, compared with real ones in random subsets."""

    def __init__(self, subsets: int, size: int) -> None:
        super().__init__()
        self._subsets, self._size = subsets, size

    def result(self) -> tuple[float, float | None]:
        """Mean over the subsets, and their standard deviation (of the population, as torch-fidelity has it).

        A single subset says nothing of a deviation.
        """
        random = np.random.RandomState(_SEED)
        generated, real = self.features().to(self.device), self.real.to(self.device)
        found = []
        for _ in range(self._subsets):
            x = generated[torch.from_numpy(random.choice(len(generated), self._size, replace=False))]
            y = real[torch.from_numpy(random.choice(len(real), self._size, replace=False))]
            found.append(squared_mmd(x, y))
        values = torch.tensor(found, dtype=torch.float64)
        return values.mean().item(), values.std(correction=0).item() if len(values) > 1 else None

    def remark(self) -> str | None:
        """Say where subsets leave images out, or are all the same."""
        fewest, most = sorted((len(self.features()), len(self.real)))
        if self._subsets * self._size < most:
            return (
                f"subsets = {self._subsets} of subset_size = {self._size} look at {self._subsets * self._size} of "
                f"{most} images at most: more of either make the KID less random"
            )
        if self._subsets > 1 and self._size == fewest == most:
            return "each subset holds all images: the standard deviation over subsets is 0, whatever the images are"
        return None


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased estimate of MMD^2 between x (N, D) and y (N, D) by the kernel (x.y / D + 1)^3, in float64."""
    x, y = x.double(), y.double()
    count, features = x.shape
    xx, yy, xy = ((a @ b.T / features + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    return (within / (count * (count - 1)) - 2 * xy.mean()).item()

"""The Frechet Inception Distance of each class by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sngan_cli.contracts import Metric
from sngan_plugins.collected import Collected, left_out
from sngan_plugins.metrics.fid import check_images, frechet_distance, moments_of


class IntraFid(Metric, contract=1):
    """Mean over the classes of the FID within each class (Miyato & Koyama, 2018, section 5).

    It sees what the FID of all classes together does not: classes that are drawn for one another.
    """

    higher_is_better: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def reference(self, images: int) -> RealClasses:
        """Start the features of `images` real images."""
        check_images(images)
        return RealClasses()

    def accumulator(self, images: int) -> ClassesBesideReal:
        """Start the features of `images` generated images."""
        check_images(images)
        return ClassesBesideReal()

    def protocol(self) -> Mapping[str, int | float | str]:
        """There are no settings."""
        return {}


class RealClasses(Collected):
    """Features of real images, by class."""

    def result(self) -> Mapping[str, Tensor]:
        """Features (N, D) and labels (N,): covariances (D, D) of all classes at once would take far more memory."""
        return {"features": self.features(), "labels": self.labels()}


class ClassesBesideReal(Collected):
    """Distance of each generated class to the real one."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the features of real images."""
        self._real, self._real_labels = reference["features"], reference["labels"]

    def result(self) -> tuple[float, float | None]:
        """Mean of the distances of the classes that have two images at least on both sides."""
        return torch.tensor(self._distances, dtype=torch.float64).nanmean().item(), None

    def remark(self) -> str | None:
        """Say where classes are left out, and where the covariance of one cannot be of full rank."""
        fewer, features = self._images.amin(0), self._real.shape[1]
        fewest = min((count for count in fewer.tolist() if count > 1), default=math.inf)
        singular = (
            f"{fewest} images of a class for {features} features: covariances are singular, and the distance too high"
        )
        said = [left_out(self._images), singular if fewest <= features else None]
        return "; ".join(filter(None, said)) or None

    def per_class(self) -> Sequence[float]:
        """The distance of each class."""
        return self._distances

    @cached_property
    def _images(self) -> Tensor:
        """How many images there are of each class, generated and real (2, K)."""
        counts = [torch.bincount(labels) for labels in (self.labels(), self._real_labels)]
        return pad_sequence(counts, batch_first=True)

    @cached_property
    def _distances(self) -> list[float]:
        features, labels = self.features(), self.labels()
        found = []
        for label, fewer in enumerate(self._images.amin(0).tolist()):
            if fewer < 2:
                found.append(math.nan)
                continue
            generated, real = features[labels == label], self._real[self._real_labels == label]
            found.append(frechet_distance(*moments_of(generated), *moments_of(real)))
        return found

"""The Frechet Inception Distance of each class by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

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
        """Start the moments of real images."""
        return RealClasses()

    def accumulator(self, images: int) -> ClassesBesideReal:
        """Start the moments of `images` generated images."""
        check_images(images)
        return ClassesBesideReal()

    def protocol(self) -> Mapping[str, int | float | str]:
        """There are no settings."""
        return {}


class RealClasses(Collected):
    """Moments of each class of real images."""

    def result(self) -> Mapping[str, Tensor]:
        """Mean (D,), covariance (D, D) and number of images of each class of two at least, by the class's number."""
        found: dict[str, Tensor] = {}
        for label, features in enumerate(self.by_class()):
            if len(features) > 1:
                found[f"mean {label}"], found[f"covariance {label}"] = moments_of(features)
                found[f"images {label}"] = torch.tensor(len(features))
        return found


class ClassesBesideReal(Collected):
    """Distance of each generated class to the real one."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the moments of the real classes."""
        self._real = reference

    def result(self) -> tuple[float, float | None]:
        """Mean of the distances of the classes that have two images at least on both sides."""
        known = [value for value in self._distances if not math.isnan(value)]
        return (sum(known) / len(known) if known else torch.nan), None

    def remark(self) -> str | None:
        """Say where classes are left out, and where the covariance of one cannot be of full rank."""
        generated = [len(images) for images in self.by_class()]
        real = [int(self._real.get(f"images {label}", 0)) for label in range(len(generated))]
        fewest = min((count for count in (*generated, *real) if count > 1), default=math.inf)
        features = self.features().shape[1]
        singular = (
            f"{fewest} images of a class for {features} features: covariances are singular, and the distance too high"
        )
        said = [left_out(self._distances), singular if fewest <= features else None]
        return "; ".join(filter(None, said)) or None

    def per_class(self) -> Sequence[float]:
        """The distance of each class."""
        return self._distances

    @cached_property
    def _distances(self) -> list[float]:
        found = []
        for label, features in enumerate(self.by_class()):
            if len(features) < 2 or f"mean {label}" not in self._real:
                found.append(torch.nan)
                continue
            real = self._real[f"mean {label}"], self._real[f"covariance {label}"]
            found.append(frechet_distance(*moments_of(features), *real))
        return found

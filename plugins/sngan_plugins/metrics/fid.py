"""The Frechet Inception Distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sngan_cli.contracts import Features, Metric, UsageError


class FrechetInceptionDistance(Metric, contract=1):
    """Frechet distance between Gaussians fitted to features of generated and real images (Heusel et al., 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with means m and covariances C of the extractor's pooled features. It
    falls with the number of images, so that only values over as many of them are comparable.
    """

    higher_is_better: ClassVar[bool] = False

    def reference(self, images: int) -> RealMoments:
        """Start mean and covariance of `images` real images."""
        return RealMoments(images)

    def accumulator(self, images: int) -> MomentsBesideReal:
        """Start mean and covariance of `images` generated images."""
        return MomentsBesideReal(images)

    def protocol(self) -> Mapping[str, int | float | str]:
        """There are no settings."""
        return {}


def check_images(images: int) -> None:
    """Raise `UsageError` where a covariance cannot be had of so few images."""
    if images < 2:
        raise UsageError(f"The covariance of an FID needs two images at least, not {images}: score more of them.")


class Moments:
    """Sums of features and of their products, in float64: enough for mean and covariance, whatever the batches were.

    Features are taken relative to the first one, so that nothing is lost where their mean is far from zero.
    """

    def __init__(self, images: int) -> None:
        check_images(images)
        self._images = images
        self._origin: Tensor | None = None

    def add(self, features: Features) -> None:
        """Take in features (N, D)."""
        x = features.pooled.double()
        if self._origin is None:
            self._origin = x[0].clone()
            self._sum = torch.zeros_like(self._origin)
            self._products = x.new_zeros(x.shape[1], x.shape[1])
        x = x - self._origin
        self._sum += x.sum(0)
        self._products += x.T @ x

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (D,) and unbiased covariance (D, D), on the CPU."""
        assert self._origin is not None
        mean = self._sum / self._images
        covariance = (self._products - self._images * torch.outer(mean, mean)) / (self._images - 1)
        return (self._origin + mean).cpu(), covariance.cpu()


class RealMoments(Moments):
    """Moments of real images."""

    def result(self) -> Mapping[str, Tensor]:
        """Mean (D,), covariance (D, D) and the number of images, a scalar."""
        mean, covariance = self.moments()
        return {"mean": mean, "covariance": covariance, "images": torch.tensor(self._images)}


class MomentsBesideReal(Moments):
    """Moments of generated images, and their distance to those of real ones."""

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in the moments of real images."""
        self._real = reference["mean"], reference["covariance"]
        self._fewest = min(self._images, int(reference["images"]))

    def result(self) -> tuple[float, float | None]:
        """The distance."""
        return frechet_distance(*self.moments(), *self._real), None

    def remark(self) -> str | None:
        """Say where a covariance cannot be of full rank."""
        features = len(self._real[0])
        if self._fewest > features:
            return None
        return f"{self._fewest} images for {features} features: their covariance is singular, and the FID too high"


def frechet_distance(mean_1: Tensor, covariance_1: Tensor, mean_2: Tensor, covariance_2: Tensor) -> float:
    """Frechet distance between two Gaussians, with means (D,) and covariances (D, D) that may be singular.

    tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of R C2 R, with R = C1^(1/2): symmetric, so that
    no root of a general matrix is needed, which may be complex or not exist.
    """
    values, vectors = torch.linalg.eigh(covariance_1.double())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ covariance_2.double() @ root)
    cross = product.clamp(min=0).sqrt().sum()
    difference = (mean_1 - mean_2).double()
    distance = difference @ difference + torch.trace(covariance_1) + torch.trace(covariance_2) - 2 * cross
    return max(0.0, float(distance))


def moments_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D) of features (N, D), in float64."""
    width = features.shape[1]
    covariance = torch.cov(features.double().T).view(width, width)  # torch makes a number of a single one
    return features.double().mean(0), covariance

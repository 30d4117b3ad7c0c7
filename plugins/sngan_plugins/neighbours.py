"""Nearest neighbours among features, a block at a time: memory does not grow with the square of the images."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.linalg import vector_norm

from sngan_cli.contracts import Field, Metric, UsageError
from sngan_plugins.collected import CollectedBesideReal, CollectedReal, Shared

_LARGE = 0.1
"""Balls that hold a larger part of the images are remarked on, and a larger part of balls that hold nothing."""
_BLOCK, _COLUMNS = 1000, 5000
"""Rows and columns of the distances that are computed at a time, at most: 50 000 images by 2 048 features have room."""


def blocks(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Distances of the rows of x (N, D) to all of y (M, D), a block (B, M) of rows at a time.

    By |x - y|^2 = |x|^2 + |y|^2 - 2 x.y, as torch.cdist does, but in float64 and about a central one of y: neighbours
    that are near beside what others are, or beside how far all are from zero, would be lost in float32's rounding. Nor
    is float64's to say which of two equal distances is less, a radius among them: equal rows are at a distance of 0,
    and nothing of it is left in the result, which is float32.
    """
    origin = y[vector_norm(y - y.mean(0), dim=1).argmin(0, keepdim=True)].double()
    y_squares = [((columns - origin) ** 2).sum(1) for columns in _parts(y, _COLUMNS)]
    least = y.shape[1] * torch.finfo(torch.float64).eps  # relative rounding of a sum of so many products
    for rows in _parts(x, _BLOCK):
        part = rows - origin
        squares, found = (part**2).sum(1, keepdim=True), x.new_empty(len(part), len(y), dtype=torch.float32)
        parts = zip(_parts(y, _COLUMNS), y_squares, torch.tensor_split(found, len(y_squares), dim=1), strict=True)
        for columns, column_squares, distances in parts:
            sums = squares + column_squares
            # They are centred again for each block of rows: all of y in float64 would take twice its own room.
            squared = sums.addmm(part, (columns - origin).T, alpha=-2)
            distances.copy_(squared.masked_fill_(squared < least * sums, 0).sqrt_())
        yield found


def of_each(x: Tensor, y: Tensor, measured: Callable[[Tensor], Tensor]) -> Tensor:
    """What `measured` makes (B,) of the distances (B, M) of rows of x (N, D) to all of y (M, D), for all rows (N,).

    It is written into one tensor: small ones that stay between large ones that are freed keep malloc from using the
    room of these again.
    """
    found = x.new_empty(len(x))
    for rows, distances in zip(_parts(found, _BLOCK), blocks(x, y), strict=True):
        rows.copy_(measured(distances))
    return found


def radii(x: Tensor, neighbours: int) -> Tensor:
    """Distance (N,) of each row of x (N, D) to its k-th nearest other row."""
    # A row is its own nearest neighbour, at distance 0. (kthvalue would take three times the memory of the distances.)
    return of_each(x, x, lambda distances: distances.topk(neighbours + 1, largest=False).values[:, -1])


def in_any_ball(x: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each row of x (N, D) lies within the radius (M,) of any of the centres (M, D); (N,) bool."""
    return of_each(x, centres, lambda distances: (distances <= radius).any(1)).bool()


def _parts(x: Tensor, most: int) -> Sequence[Tensor]:
    """The rows of x (N, ...) in blocks of equal sizes: a last one of one row would be rounded by another routine."""
    return torch.tensor_split(x, math.ceil(len(x) / most))


@cache
def _shared_radii(neighbours: int, device: torch.device) -> Shared:
    """Radii that metrics with as many neighbours share, where they are of the same features; measured on a device."""
    return Shared(lambda features: radii(features[0].to(device), neighbours).cpu())


class NeighbourMetric(Metric):
    """A metric of generated and real features by their nearest neighbours."""

    about_real: ClassVar[bool] = True
    """Whether its balls are about real images: these are the same for every score, and measured once."""
    neighbours: int = Field(default=3, ge=1)
    """The k of the k-th nearest neighbour, whose distance is the radius of an image's ball."""

    @abstractmethod
    def measure(self, generated: Tensor, real: Tensor, radius: Tensor) -> float:
        """Compare features of generated images (N, D) with those of real ones (M, D), by the radius of each ball."""

    def reference(self, images: int) -> CollectedReal:
        """Start the features of `images` real images."""
        self._check(images, "real")
        return RealBalls(self.neighbours) if self.about_real else CollectedReal()

    def accumulator(self, images: int) -> Compared:
        """Start the features of `images` generated images."""
        self._check(images, "generated")
        return Compared(self)

    def protocol(self) -> Mapping[str, int | float | str]:
        """The number of neighbours."""
        return {"neighbours": self.neighbours}

    def _check(self, images: int, kind: str) -> None:
        if images <= self.neighbours:
            name = type(self).__name__
            raise UsageError(
                f"{name} with neighbours = {self.neighbours} needs more {kind} images than {images}: score more, or "
                f"lower --set metrics.{name.lower()}.neighbours."
            )


class RealBalls(CollectedReal):
    """Features of real images, and the radii of their balls."""

    def __init__(self, neighbours: int) -> None:
        super().__init__()
        self._neighbours = neighbours

    def result(self) -> Mapping[str, Tensor]:
        """The features (N, D) and radii (N,)."""
        found = super().result()
        return {**found, "radii": _shared_radii(self._neighbours, self.device)([found["features"]])}


class Compared(CollectedBesideReal):
    """Features of generated images, compared with real ones by a metric."""

    def __init__(self, metric: NeighbourMetric) -> None:
        super().__init__()
        self._metric = metric

    def against(self, reference: Mapping[str, Tensor]) -> None:
        """Take in features and balls of real images."""
        super().against(reference)
        self._real_radii = reference.get("radii")

    def result(self) -> tuple[float, float | None]:
        """What the metric measures."""
        generated, real = self.features().to(self.device), self.real.to(self.device)
        return self._metric.measure(generated, real, self._radii.to(self.device)), None

    def remark(self) -> str | None:
        """Say where balls hold so many images that it says little to lie in one, or no room at all."""
        fewest, neighbours = min(len(self.features()), len(self.real)), self._metric.neighbours
        empty, balls = int((self._radii == 0).sum()), len(self._radii)
        said = (
            f"a ball holds neighbours = {neighbours} of {fewest} images: with so large ones the value says little"
            if neighbours > _LARGE * fewest
            else None,
            f"{empty} of {balls} balls have a radius of 0: these images have the same features as {neighbours} others"
            if empty > _LARGE * balls
            else None,
        )
        return "; ".join(filter(None, said)) or None

    @cached_property
    def _radii(self) -> Tensor:
        """Radii (N,) of the balls about real or generated images, on the CPU."""
        if self._real_radii is not None:
            return self._real_radii
        return radii(self.features().to(self.device), self._metric.neighbours).cpu()

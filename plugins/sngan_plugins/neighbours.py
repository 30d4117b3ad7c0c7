"""Nearest neighbours among features, a block at a time: memory does not grow with the square of the images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sngan_cli.contracts import UsageError

_BLOCK = 2_000
"""Rows compared with all others at a time: 50 000 distances to each take 400 MB."""


def blocks(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Distances of the rows of x (N, D) to all of y (M, D), a block (B, M) of rows at a time."""
    for part in torch.split(x, _BLOCK):
        yield torch.cdist(part, y)


def radii(x: Tensor, neighbours: int) -> Tensor:
    """Distance (N,) of each row of x (N, D) to its k-th nearest other row."""
    # A row is its own nearest neighbour, at distance 0.
    return torch.cat([distances.kthvalue(neighbours + 1).values for distances in blocks(x, x)])


def in_any_ball(x: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each row of x (N, D) lies within the radius (M,) of any of the centres (M, D); (N,) bool."""
    return torch.cat([(distances <= radius).any(1) for distances in blocks(x, centres)])


def check_neighbours(images: int, neighbours: int, metric: str) -> None:
    """Raise `UsageError` where there are too few images for that many neighbours."""
    if images <= neighbours:
        raise UsageError(
            f"{metric.capitalize()} by {neighbours} neighbours needs more images than {images}: raise --eval-samples, "
            f"or lower --set metrics.{metric}.neighbours."
        )

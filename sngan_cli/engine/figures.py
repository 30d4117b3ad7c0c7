"""Pictures of a trained generator that show its latent space: paths, and samples beside them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from torch import nn

from sngan_cli.engine import pictures, sampling


def rows_of(classes: int | None, ends: tuple[int, int] | None = None) -> int:
    """Rows that a figure has unless told otherwise: one a class (10 at most), or 8 where all are of one kind."""
    return min(classes, 10) if classes and ends is None else 8


def paths(
    network: nn.Module,
    classes: int | None,
    ends: tuple[int, int] | None,
    *,
    rows: int,
    steps: int,
    seed: int,
    along: Literal["linear", "spherical"],
) -> np.ndarray:
    """Draw uint8 images (rows * steps, H, W, 3), in each row on the way from one latent to another, ends included.

    Each row keeps one class: the next in turn, or that of `ends`. Where `ends` are two classes, each row keeps its
    latent and moves from the first class to the second.
    """
    z1 = sampling.latents(network, rows, seed, "interpolation from")
    if ends is not None and ends[0] != ends[1]:
        return sampling.to_arrays(sampling.class_paths(network, z1, *ends, steps, seed=seed))
    z2 = sampling.latents(network, rows, seed, "interpolation to")
    y = sampling.sheet_labels(classes, None if ends is None else ends[0], rows * steps, steps)
    return sampling.to_arrays(sampling.images(network, sampling.path(z1, z2, steps, along), y, seed=seed))


def samples_beside_paths(
    network: nn.Module,
    classes: int | None,
    ends: tuple[int, int] | None = None,
    *,
    rows: int,
    steps: int,
    seed: int,
    along: Literal["linear", "spherical"] = "spherical",
    scale: int = 1,
) -> Image.Image:
    """Lay out samples on the left and `paths` on the right, as the seed's article does."""
    z = sampling.latents(network, rows * steps, seed, "sample")
    y = sampling.sheet_labels(classes, None if ends is None else ends[0], rows * steps, steps)
    samples = sampling.to_arrays(sampling.images(network, z, y, seed=seed))
    moving = paths(network, classes, ends, rows=rows, steps=steps, seed=seed, along=along)
    return pictures.side_by_side(pictures.grid(samples, steps, scale), pictures.grid(moving, steps, scale))

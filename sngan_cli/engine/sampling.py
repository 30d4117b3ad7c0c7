"""Images from a generator: samples, and paths through its latent space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sngan_cli.engine.data import derived_seed
from sngan_cli.engine.gan import latent_dim
from sngan_cli.errors import ComponentError, UsageError

BATCH = 100
STANDING = 100
"""Batches that standing statistics are taken over."""


def latents(generator: nn.Module, images: int, seed: int, purpose: str, truncation: float | None = None) -> Tensor:
    """Draw z ~ N(0, I) of shape (images, latent_dim) on the CPU, the same on every device.

    With a `truncation` the normal distribution is cut off there on both sides (Brock et al., 2019, section 3.1).
    """
    random = torch.Generator().manual_seed(derived_seed(seed, purpose))
    if truncation is None:
        return torch.randn(images, latent_dim(generator), generator=random)
    z = torch.empty(images, latent_dim(generator))
    return nn.init.trunc_normal_(z, a=-truncation, b=truncation, generator=random)


def labels(images: int, classes: int, frequencies: Sequence[float] | None, seed: int) -> Tensor:
    """Labels (images,): of each of `classes` as many, or drawn at random in proportion to `frequencies` (classes,).

    They are in random order: were each class's turn as regular, splits of an Inception Score would be more alike than
    those of shuffled pictures, and the score greater.
    """
    random = torch.Generator().manual_seed(derived_seed(seed, "labels"))
    if frequencies is None:
        return torch.randperm(images, generator=random) % classes
    return torch.multinomial(torch.tensor(frequencies, dtype=torch.float64), images, True, generator=random)


@torch.no_grad()
def standing_statistics(
    generator: nn.Module, classes: int | None, *, seed: int, truncation: float | None = None
) -> None:
    """Give the batch norms of a generator the mean statistics of many batches of its own (Brock et al., 2019, 3.1).

    They replace the running statistics, which trail behind the weights and are those of untruncated latents. Raises
    `UsageError` where no batch norm keeps any.
    """
    norms = [module for module in generator.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        raise UsageError(
            f"The generator {type(generator).__name__} has no batch norm: standing statistics are for those."
        )
    z = latents(generator, STANDING * BATCH, seed, "standing statistics", truncation)
    y = None if classes is None else labels(len(z), classes, None, seed)
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the mean of all batches, each as heavy as the others
    with _randomness(generator, derived_seed(seed, "noise of standing statistics")) as device:
        for part, chosen in _batches(z, y):
            generator(part.to(device), None if chosen is None else chosen.to(device))
    for norm in norms:
        norm.eval()


@torch.no_grad()
def images(generator: nn.Module, z: Tensor, y: Tensor | None, *, seed: int) -> Tensor:
    """Draw uint8 images (N, 3, H, W) for latents z (N, latent_dim), in batches on the generator's device.

    The generator is put into evaluation mode (batch norms use their running statistics) and back. What it draws at
    random itself, such as noise inputs, follows from `seed`. Raises `ComponentError` where images are not finite.
    """
    was_training = generator.training
    generator.eval()
    try:
        with _randomness(generator, derived_seed(seed, "noise")) as device:
            parts = [
                # Not compiled, where training is: that would wait for a compiler at every new number of images.
                _to_levels(generator.forward(part.to(device), None if labels is None else labels.to(device)))
                for part, labels in _batches(z, y)
            ]
    finally:
        generator.train(was_training)
    return torch.cat(parts)


def to_arrays(images: Tensor) -> np.ndarray:
    """Turn uint8 images (N, 3, H, W) into an array (N, H, W, 3) on the CPU."""
    return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def columns_of(count: int, classes: int | None) -> int:
    """Columns of a sheet of `count` images: whole rows, one a class, where classes are given, else nearly a square."""
    if classes is not None:
        return max(1, -(-count // min(classes, count)))
    return max(1, math.isqrt(count - 1) + 1)


def sheet_labels(classes: int | None, chosen: int | None, count: int, columns: int) -> Tensor | None:
    """Labels of `count` images laid out in rows: the chosen class throughout, else one class a row."""
    if classes is None:
        return None
    return torch.full((count,), chosen) if chosen is not None else (torch.arange(count) // columns) % classes


def path(z1: Tensor, z2: Tensor, steps: int, along: Literal["linear", "spherical"]) -> Tensor:
    """Latents (rows * steps, latent_dim) on the way from each z1 to its z2 (rows, latent_dim), ends included.

    `spherical` follows the great circle (White, "Sampling Generative Networks", 2016), where latents keep a typical
    length; `linear` the straight line.
    """
    t = torch.linspace(0, 1, steps).view(1, steps, 1)
    a, b = z1.unsqueeze(1), z2.unsqueeze(1)
    if along == "linear":
        return torch.lerp(a, b, t).flatten(0, 1)
    cosine = nn.functional.cosine_similarity(a, b, dim=2).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = torch.arccos(cosine).unsqueeze(2)
    return ((torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)).flatten(0, 1)


@contextmanager
def between_classes(generator: nn.Module, start: int, end: int, t: float) -> Iterator[None]:
    """Let every class embedding of a generator give its value at fraction `t` of the way from one class to another.

    Images are drawn for the class `start` meanwhile: embeddings of anything else, such as positions, are asked for
    other numbers than that and are let be. Raises `UsageError` where no classes were embedded.
    """
    mixed = False

    def mix(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal mixed
        weight, asked = module.weight, inputs[0]
        assert isinstance(weight, Tensor)
        if max(start, end) >= len(weight) or not bool((asked == start).all()):
            return output
        mixed = True
        return torch.lerp(weight[start], weight[end], t).expand_as(output)

    embeddings = [module for module in generator.modules() if isinstance(module, nn.Embedding)]
    handles = [module.register_forward_hook(mix) for module in embeddings]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not mixed:
        raise UsageError(
            f"The generator {type(generator).__name__} embeds no classes: nothing lies between two of them."
        )


def class_paths(generator: nn.Module, z: Tensor, start: int, end: int, steps: int, *, seed: int) -> Tensor:
    """Draw uint8 images (rows * steps, 3, H, W): each latent of z (rows, latent_dim) on its way between two classes."""
    y = torch.full((len(z),), start)
    columns = []
    for k in range(steps):
        with between_classes(generator, start, end, k / (steps - 1)):
            columns.append(images(generator, z, y, seed=seed))
    return torch.stack(columns, dim=1).flatten(0, 1)


@contextmanager
def _randomness(generator: nn.Module, seed: int) -> Iterator[torch.device]:
    """Context in which torch's random numbers follow from `seed`, and after which they go on as before.

    Gives the generator's device.
    """
    device = next(generator.parameters()).device
    touched = [device] if device.type == "cuda" else []  # of several GPUs torch would keep the states of all
    with torch.random.fork_rng(touched):
        torch.manual_seed(seed)
        yield device


def _batches(z: Tensor, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(z), BATCH):
        yield z[start : start + BATCH], None if y is None else y[start : start + BATCH]


def _to_levels(images: Tensor) -> Tensor:
    """Map [-1, 1] to the 256 grey levels, rounding to the nearest."""
    if not images.isfinite().all():
        raise ComponentError(
            "The generator gives NaN or infinite images in evaluation mode: take an earlier checkpoint where its run "
            "has diverged, and tell the author of its architecture where not."
        )
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

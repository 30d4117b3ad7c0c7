"""Features of real images, extracted once: what they are does not change from score to score, nor from run to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from sngan_cli.contracts import Features
from sngan_cli.disk import mark_used, sweep
from sngan_cli.engine.extraction import Extraction
from sngan_cli.engine.sampling import BATCH


class ScoringStoppedError(Exception):
    """A score was given up because the run was asked to stop."""


class RealImages(Protocol):
    """A prepared data set: images (N, side, side, 3) uint8, and what identifies it."""

    @property
    def images(self) -> np.ndarray: ...  # noqa: D102
    @property
    def data_sha256(self) -> str: ...  # noqa: D102


def of_real(
    extraction: Extraction,
    data: RealImages,
    chosen: np.ndarray,
    *,
    cache: Path | None,
    progress: Callable[[int], bool],
) -> Iterator[Features]:
    """Features of the images `chosen` of a data set, batch by batch: those in the folder `cache`, or extracted.

    `progress` is told how many are extracted, and answers whether to go on; `ScoringStoppedError` where not.
    """
    extracted = _extracted(extraction, data.images, chosen, progress)
    if cache is None:
        return extracted
    key = f"{data.data_sha256} {extraction.identity} {hashlib.sha256(chosen.tobytes()).hexdigest()}"
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
    return _cached(path, len(chosen), extracted, extraction.device)


def batches(images: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """The images `chosen` of (N, side, side, 3) uint8 in batches: their indices, and (B, 3, side, side)."""
    for start in range(0, len(chosen), BATCH):
        index = chosen[start : start + BATCH]
        yield index, torch.from_numpy(images[index]).permute(0, 3, 1, 2).contiguous()


def _extracted(
    extraction: Extraction, images: np.ndarray, chosen: np.ndarray, progress: Callable[[int], bool]
) -> Iterator[Features]:
    done = 0
    for index, batch in batches(images, chosen):
        yield extraction(batch, compare=False)  # it is not done where they are kept already
        done += len(index)
        if not progress(done):
            raise ScoringStoppedError


def _cached(path: Path, images: int, extracted: Iterator[Features], device: torch.device) -> Iterator[Features]:
    """Read features of so many images from `path`, or extract them and leave them there; batch by batch either way.

    They are on the device that they are extracted on: metrics do their arithmetic there.

    A file that cannot be read, is damaged, or has others, is made again; one that cannot be written is done without.
    """
    mark_used(path)
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            raise FileNotFoundError(path)
        kept = load_file(path)
        fits = kept.keys() == {"pooled", "logits"} and {len(tensor) for tensor in kept.values()} == {images}
        if not fits or _written_digest(path) != _digest(kept):
            raise SafetensorError(f"{path} is damaged, or has features of other images")
    except (OSError, SafetensorError):
        parts = []
        for features in extracted:
            # Contiguous, since a view keeps all that it is a view of.
            parts.append([part.float().cpu().contiguous() for part in (features.pooled, features.logits)])
            yield features
        pooled, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        with suppress(OSError, SafetensorError):  # the latter is what a full disk is to safetensors
            _write(path, {"pooled": pooled, "logits": logits})
        return
    for start in range(0, len(kept["pooled"]), BATCH):
        part = slice(start, start + BATCH)
        yield Features(kept["pooled"][part].to(device), kept["logits"][part].to(device))


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write beside `path` first, so that nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, {"sha256": _digest(tensors)})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _written_digest(path: Path) -> str | None:
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("sha256")


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()

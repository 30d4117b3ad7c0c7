"""Features of real images, extracted once: what they are does not change from score to score, nor from run to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sngan_cli.contracts import Features
from sngan_cli.engine.sampling import BATCH


def path_of(folder: Path, data_sha256: str, weights_sha256: str, chosen: np.ndarray) -> Path:
    """Where the features are kept that an extractor with these weights sees in the images `chosen` of a data set."""
    key = f"{data_sha256} {weights_sha256} {hashlib.sha256(chosen.tobytes()).hexdigest()}"
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"


def cached(path: Path, extracted: Iterator[Features]) -> Iterator[Features]:
    """Read features from `path`, or extract them and leave them there; batch by batch either way.

    A file that cannot be read is made again, and one that cannot be written is done without.
    """
    try:
        kept = load_file(path)
    except (OSError, SafetensorError):
        parts = []
        for features in extracted:
            parts.append((features.pooled.float().cpu(), features.logits.float().cpu()))
            yield features
        pooled, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        with suppress(OSError):
            _write(path, {"pooled": pooled, "logits": logits})
        return
    for start in range(0, len(kept["pooled"]), BATCH):
        part = slice(start, start + BATCH)
        yield Features(kept["pooled"][part], kept["logits"][part])


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write beside `path` first, so that nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

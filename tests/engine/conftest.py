"""A tiny GAN on random pictures, built from the real components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from sngan_cli.catalog import Catalog
from sngan_cli.composition import Composition, compose
from sngan_cli.config import Layer, recipe
from sngan_cli.contracts import Features
from sngan_cli.events import Event

SIDE, CLASSES = 8, 3

TINY: dict[str, Any] = {
    "dataset": "shapes",
    "arch": {"name": "resnet-preact", "width": 0.05},
    "size": SIDE,
    "steps": 8,
    "n_dis": 2,
    "batch_size": 4,
    "g_batch_size": 6,
    "lr_decay": "none",
    "eval_every": 0,
    "eval_samples": 20,
    "checkpoint_every": 0,
    "log_every": 1,
    "device": "cpu",
    "metrics": {"is": {"splits": 2}},
}


@dataclass(frozen=True)
class RandomPictures:
    """Pictures of noise with labels, as a prepared data set."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] | None = ("ant", "bee", "cat")
    data_sha256: str = "0" * 64


@pytest.fixture
def data() -> RandomPictures:
    random = np.random.default_rng(0)
    return RandomPictures(
        random.integers(0, 256, (10, SIDE, SIDE, 3), dtype=np.uint8), np.arange(10, dtype=np.int64) % CLASSES
    )


@pytest.fixture
def tiny() -> Callable[..., Composition]:
    """Compose the tiny GAN with other settings, such as `tiny(conditional=True)`."""

    def make(**settings: Any) -> Composition:
        return compose([recipe("paper"), Layer("tiny", TINY), Layer("test", settings)], Catalog.installed())

    return make


@dataclass
class Listener:
    """An observer that keeps every event."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def listener() -> Listener:
    return Listener()


class BrightnessExtractor:
    """Two classes, dark and bright: enough to score by hand."""

    weights_sha256 = "ab" * 32

    def __call__(self, images: torch.Tensor) -> Features:
        brightness = images.float().mean((1, 2, 3)) / 255
        pooled = brightness.unsqueeze(1)
        return Features(pooled, torch.stack([brightness * 10, (1 - brightness) * 10], dim=1))


@pytest.fixture
def extractor() -> BrightnessExtractor:
    return BrightnessExtractor()

"""What the engine tells the outside world: an observer is called with one event at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Stepped:
    """A generator update is done; `losses` is given every `log_every` updates."""

    step: int
    losses: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Scoring:
    """A score is being computed: `done` of `total` images so far."""

    step: int
    done: int
    total: int


@dataclass(frozen=True)
class Scored:
    """A metric's value, with the evidence that it rests on; values are comparable where `protocol` is equal."""

    step: int
    metric: str
    value: float
    std: float | None
    higher_is_better: bool
    protocol: str
    evidence: Mapping[str, str | int | float | Mapping[str, float]]


@dataclass(frozen=True)
class Saving:
    """A checkpoint is about to be written: whoever goes on from it has to know all that came before it."""

    step: int


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint is on disk, whole."""

    step: int
    folder: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointRemoved:
    """A checkpoint that is neither the last, nor the best, nor to be kept for good is about to be deleted from disk."""

    step: int


@dataclass(frozen=True)
class SamplesDrawn:
    """The grid of the run's fixed latents was drawn."""

    step: int
    path: Path


@dataclass(frozen=True)
class Resumed:
    """Training goes on from the checkpoint of a step; `changes` says which settings are other ones, if any.

    `dropped` says what came after the checkpoint and is gone, if anything is; `before` by which command the run was
    trained until then, and where that was elsewhere.
    """

    step: int
    changes: str
    dropped: str
    before: str


@dataclass(frozen=True)
class Compiling:
    """The networks are compiled before the step that comes next, which takes a minute or more."""

    step: int


@dataclass(frozen=True)
class Noticed:
    """Something that the user should be told in plain words; `kind` is one word for the registry."""

    step: int
    kind: str
    message: str


Event = (
    Stepped | Scoring | Scored | Saving | CheckpointWritten | CheckpointRemoved | SamplesDrawn | Resumed | Compiling
    | Noticed
)  # fmt: skip


class Observer(Protocol):
    """Receives every event in order, on the thread that trains."""

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""

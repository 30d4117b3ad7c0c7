"""What leaves the registry: frozen records, never database rows. Times are aware UTC datetimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

LOST_AFTER = timedelta(seconds=60)
"""A running run that has shown no sign of life for longer is lost."""


class Status(StrEnum):
    """Where a run stands. `LOST` is computed on reading: a running run whose heartbeat or process has stopped."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what a run was made."""

    sngan: str
    python: str
    torch: str
    cuda: str | None
    device: str
    host: str
    pid: int
    git_commit: str | None
    command: str


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a run and who supplied it. `role` is dataset, arch_g, arch_d, loss, norm, norm_g, ...

    Options are JSON values.
    """

    role: str
    name: str
    distribution: str
    version: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """What is known of a run before its first step.

    `parent` is the id of the run that it started from, and `data_sha256` names the content of what it is trained on.
    """

    config: Mapping[str, Any]
    components: tuple[Component, ...]
    environment: Environment
    seed: int
    steps: int
    data_sha256: str | None = None
    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()
    parent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run. `step` is how far it came, `steps` how far it is to go (generator updates).

    `started` is when it was first trained, `ended` when training last stopped, `heartbeat` its last sign of life;
    `environment` is the one that it was last trained in. `data_sha256` names the content of the data; it is None where
    that is not known. `removed` says when it was moved to the trash.
    """

    id: str
    name: str | None
    status: Status
    reason: str | None
    parent: str | None
    config: Mapping[str, Any]
    seed: int
    step: int
    steps: int
    environment: Environment
    created: datetime
    started: datetime | None
    ended: datetime | None
    heartbeat: datetime | None
    note: str | None
    tags: tuple[str, ...]
    data_sha256: str | None = None
    removed: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One value of a curve, such as `loss_d` after generator update `step`; NaN and infinity are values too."""

    name: str
    step: int
    value: float


PROTOCOL_NAME = "protocol name"
"""Entry of a score's evidence: what the protocol that it follows is called, where it has a name."""
WHILE_TRAINING = "while training"
"""What a score's evidence has for its checkpoint where it was measured by the run itself."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A metric's value with its evidence.

    Values are comparable where `metric` and `protocol` are equal. `evidence` holds everything that the score rests on:
    extractor, weights' SHA-256, number of images, splits, tool version.
    """

    metric: str
    value: float
    std: float | None
    higher_is_better: bool
    protocol: str
    evidence: Mapping[str, Any]
    created: datetime | None = None

    @property
    def is_of_training(self) -> bool:
        """Whether the run measured it itself, while it was trained."""
        return self.evidence.get("checkpoint") == WHILE_TRAINING

    @property
    def merit(self) -> float:
        """The value, or where less is better its negative: of two comparable scores the better one has more."""
        return self.value if self.higher_is_better else -self.value


@dataclass(frozen=True, kw_only=True)
class Score(Measurement):
    """A score of a run. Those of raw and averaged weights of one step are kept side by side."""

    step: int

    @property
    def generator_weights(self) -> str:
        """Which weights of G were used: raw or averaged, and with which statistics of batch norms."""
        return str(self.evidence.get("generator_weights", ""))


@dataclass(frozen=True, kw_only=True)
class RunScore(Score):
    """A score beside those of other runs: `run_id` and `name` are its run's."""

    run_id: str
    name: str | None


@dataclass(frozen=True, kw_only=True)
class PictureScore(Measurement):
    """A score of pictures from anywhere, called `pictures`, by the data set `against` ("": by none).

    `pictures_sha256` is that of their pixels and classes: the same pictures are the same under any name.
    """

    pictures: str
    pictures_sha256: str
    against: str


@dataclass(frozen=True, kw_only=True)
class ExtractorRecord:
    """A trained extractor: its manifest as it was when it was recorded, and the host and folder where it was made.

    `removed` says when it was removed there, or replaced by another of its name.
    """

    name: str
    weights_sha256: str
    manifest: Mapping[str, Any]
    host: str
    path: str
    created: datetime
    removed: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint folder, `path` relative to the run's folder. `deleted` says when it was removed from disk."""

    step: int
    path: str
    size: int
    sha256: str
    created: datetime | None = None
    deleted: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a run left, `path` relative to the run's folder; `kind` is samples, config, ..."""

    kind: str
    path: str
    size: int
    sha256: str
    step: int | None = None
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something worth telling that happened to a run: resumed, a picture skipped, a step not scored, ..."""

    kind: str
    message: str
    step: int | None = None
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run as a table shows it: itself, its components, and its best and last score of each metric and protocol."""

    run: Run
    components: tuple[Component, ...]
    best: tuple[Score, ...] = field(default=())
    last: tuple[Score, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The files of a run that should be in its folder, which is on `host` if it has not been moved.

    `dropped` are checkpoints that were removed from there; `removed` is whether the run is in the trash.
    """

    run_id: str
    host: str
    status: Status
    removed: bool
    checkpoints: tuple[Checkpoint, ...]
    dropped: tuple[Checkpoint, ...]
    artifacts: tuple[Artifact, ...]

"""Writes what the engine reports into the registry and the run's folder."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sngan_cli.events import (
    CheckpointRemoved,
    CheckpointWritten,
    Compiling,
    Event,
    Noticed,
    Resumed,
    SamplesDrawn,
    Saving,
    Scored,
    Scoring,
    Stepped,
)
from sngan_cli.run_folder import RECORD, SCALARS, Recorded, describe_apart, leave
from sngan_cli.stopping import StopAtOnceError
from sngan_registry import (
    Artifact,
    Checkpoint,
    MovedError,
    PictureScore,
    RegistryError,
    RunNotFoundError,
    RunRemovedError,
    RunTakenError,
    Scalar,
    Score,
    Status,
    Store,
)
from sngan_registry import Event as RunEvent

T = TypeVar("T")

HEARTBEAT = 10.0
"""Seconds between signs of life; the registry takes a run for lost after some missed ones."""
RETRY, PATIENCE = 2.0, 30.0
"""Seconds between tries, and in all, to write to a registry that is away when the run ends."""
ANSWER = 10.0
"""Seconds that the registry has to answer in, before training goes on without one."""
RESPITE = 4.0
"""For how many times as long as a try in vain took, such as of a machine that is gone, training goes on without one."""
FLUSH = 2.0
"""Seconds for which losses may wait before they are written."""


class Recorder:
    """An observer that records one run, and the context in which it runs.

    Raises `RunTakenError` or `RunRemovedError` where a checkpoint is saved of a run that another process has taken over
    or removed.

    Entering starts the heartbeat; leaving closes the run: as `failed` or `interrupted`, with the reason, where an
    exception passes, else as what `ended` was told. While the registry cannot be written, or does not answer, records
    wait, and the run's folder alone is brought up to date.
    """

    def __init__(self, store: Store, run_id: str, folder: Path, warn: Callable[[str], None]) -> None:
        self._store, self._run_id, self._folder, self._warn = store, run_id, folder, warn
        self._step = 0
        self._scalars: list[Scalar] = []
        self._pending: list[Callable[[Store], object]] = []
        self._untold: list[Callable[[Store], object]] = []  # what the folder does not tell yet
        self._flushed = time.monotonic()
        self._retry_at = 0.0
        self._line = threading.Lock()
        self._answer_due = 0.0
        self._warned = False
        self.taken: RunTakenError | RunRemovedError | None = None
        """Set once another process has taken the run over or removed it: training it is to stop."""
        self._status: Status = Status.FINISHED
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __call__(self, event: Event) -> None:
        """Record one event."""
        self._step = max(self._step, event.step)
        match event:
            case Stepped(step, losses):
                self._scalars += [Scalar(name=name, step=step, value=value) for name, value in (losses or {}).items()]
                if losses and time.monotonic() - self._flushed > FLUSH:
                    self.flush()
            case Scored():
                self._write(lambda store: store.add_score(self._run_id, score_of(event)))
            case Saving(step):
                self._write(lambda store: store.heartbeat(self._run_id, step))
            case CheckpointWritten(step, folder, size, sha256):
                record = Checkpoint(step=step, path=self._relative(folder), size=size, sha256=sha256)
                self._write(lambda store: store.add_checkpoint(self._run_id, record))
            case CheckpointRemoved(step):
                self._write(lambda store: store.drop_checkpoint(self._run_id, step))
            case SamplesDrawn(step, path):
                self.add_artifact("samples", path, step)
                self.describe()  # the sheet is the last that is made of a checkpoint
            case Noticed(step, kind, message):
                self.tell(kind, message, step)
            case Resumed(step, changes, dropped, before):
                told = "".join(
                    f"; {what}: {said}" for what, said in (("changed", changes), ("dropped", dropped)) if said
                )
                self.tell("resumed", f"Resumed from the checkpoint of step {step}{told}. {before}", step)
            case Compiling(step):
                self.tell("compiling", "torch compiles the networks for the steps from here on.", step)
            case Scoring():
                pass
        if isinstance(event, Saving | CheckpointWritten | CheckpointRemoved):
            self._leave_if_taken()

    def tell(self, kind: str, message: str, step: int | None = None) -> None:
        """Record something worth telling that happened to the run."""
        self._write(lambda store: store.add_event(self._run_id, RunEvent(kind=kind, message=message, step=step)))

    def add_artifact(self, kind: str, path: Path, step: int | None = None) -> None:
        """Record a file that the run left in its folder."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        artifact = Artifact(kind=kind, path=self._relative(path), size=len(content), sha256=digest, step=step)
        self._write(lambda store: store.add_artifact(self._run_id, artifact))

    def describe(self) -> None:
        """Leave the run's record in its folder, with what waits still."""
        if self.taken is not None:
            return
        try:
            if self._pending or not self._describe_from_registry():
                self._describe_apart()
        except (ValueError, RegistryError) as error:
            self._warn(f"{self._folder / RECORD} cannot be brought up to date: {str(error).rstrip('.')}.")
        else:
            self._untold.clear()

    def ended(self, status: str, step: int) -> None:
        """Say how training ended, before the context is left."""
        self._status, self._step = Status(status), step

    def flush(self) -> None:
        """Write what waits."""
        if self._scalars:
            scalars, self._scalars = self._scalars, []
            self._keep(lambda store: store.add_scalars(self._run_id, scalars))
        self._flushed = begun = time.monotonic()
        if begun < self._retry_at and not self._over.is_set():
            return
        try:
            self._ask(self._drain)
        except (RunTakenError, RunRemovedError) as error:
            self.taken = error
        except RegistryError as error:
            self._retry_at = time.monotonic() + RESPITE * (time.monotonic() - begun)
            if not self._warned:
                why = str(error).rstrip(".")
                self._warn(
                    f"The registry cannot be written ({why}); training goes on, its records wait, and {self._folder} "
                    "tells them."
                )
            self._warned = True

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        status, reason = self._status, None
        if error is not None:
            status = Status.INTERRUPTED if isinstance(error, StopAtOnceError) else Status.FAILED
            reason = str(error) or type(error).__name__
        try:  # a second signal breaks off what is waited for; how the run ended is told all the same
            self._heart.join(ANSWER)
            self.flush()
        finally:
            try:
                self._write(lambda store: store.close(self._run_id, status, step=self._step, reason=reason))
                self._wait()
            finally:
                self.describe()
        self._check_that_all_is_told()

    def _wait(self) -> None:
        """Wait for a registry that is away, and write all that waits."""
        if self._waits:
            self._warn(f"The run has ended; its records wait {PATIENCE:.0f} s for the registry.")
        until = time.monotonic() + PATIENCE
        while self._waits and time.monotonic() < until:
            time.sleep(RETRY)
            self.flush()

    @property
    def _waits(self) -> bool:
        """Whether records of a run that is still this process's are to be written."""
        return bool(self._pending) and self.taken is None

    def _check_that_all_is_told(self) -> None:
        """Raise what keeps the registry from knowing all of the run, and say where it is told."""
        self._leave_if_taken()
        try:
            self._ask(self._drain)
        except (MovedError, RunNotFoundError) as error:
            raise RegistryError(
                f"{error} All of run {self._run_id} is in {self._folder}: `sngan registry rebuild` takes it in."
            ) from error
        except RegistryError as error:
            raise RegistryError(
                f"{error} What was recorded last of run {self._run_id} is in {RECORD} and {SCALARS} of {self._folder} "
                f"alone; once the registry is back, `sngan train --resume {self._run_id}` finds its checkpoints."
            ) from error

    def _leave_if_taken(self) -> None:
        """Raise where the run is another process's: its checkpoints are neither to be replaced nor to be deleted."""
        if self.taken is not None:
            raise self.taken

    def _keep(self, record: Callable[[Store], object]) -> None:
        self._pending.append(record)
        self._untold.append(record)

    def _write(self, record: Callable[[Store], object]) -> None:
        self._keep(record)
        self.flush()

    def _ask(self, question: Callable[[], T]) -> T:
        """What the registry answers. It is asked in a thread, since a server may keep a connection and never answer.

        Raises `RegistryError` where that takes longer than `ANSWER`, and until it has answered; else what the question
        does.
        """
        if self._line.locked() and time.monotonic() > self._answer_due:
            raise self._store.no_answer()
        answers, errors, answered = list[T](), list[BaseException](), threading.Event()

        def ask() -> None:
            with self._line:  # one question after another, also where a signal has kept one from being waited for
                try:
                    answers.append(question())
                except BaseException as error:
                    errors.append(error)
            answered.set()

        self._answer_due = time.monotonic() + ANSWER
        threading.Thread(target=ask, name="question", daemon=True).start()
        if not answered.wait(ANSWER):
            raise self._store.no_answer()
        if errors:
            raise errors[0]
        return answers[0]

    def _drain(self) -> None:
        """Write what waits; what can never be written is raised once, and waits no more."""
        while self._pending:
            record = self._pending[0]
            try:
                record(self._store)
            except RegistryError:
                raise
            except Exception:
                self._pending.remove(record)
                with suppress(ValueError):  # the folder tells it by now
                    self._untold.remove(record)
                raise
            self._pending.remove(record)

    def _describe_from_registry(self) -> bool:
        """Describe the folder as the registry has the run; False where that cannot be read."""
        try:
            recorded = self._ask(lambda: Recorded.of(self._store, self._run_id))
        except RegistryError:
            return False
        leave(recorded, self._folder, self._warn)
        return True

    def _describe_apart(self) -> None:
        alive = [] if self._over.is_set() else [lambda store: store.heartbeat(self._run_id, self._step)]
        describe_apart([*alive, *self._untold], self._run_id, self._folder, self._warn)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            try:
                self._store.heartbeat(self._run_id, self._step)
            except (RunTakenError, RunRemovedError) as error:
                self.taken = error
                return
            except RegistryError:
                continue  # the main thread reports a registry that cannot be written; the next beat tries again

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def score_of(scored: Scored) -> Score:
    """A score of a run as the registry keeps it."""
    return Score(**vars(scored))


def picture_score_of(scored: Scored, *, pictures: str, pictures_sha256: str, against: str) -> PictureScore:
    """A score of pictures that no run drew, as the registry keeps it."""
    measured = {key: value for key, value in vars(scored).items() if key != "step"}
    return PictureScore(**measured, pictures=pictures, pictures_sha256=pictures_sha256, against=against)

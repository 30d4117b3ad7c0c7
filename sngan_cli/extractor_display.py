"""Shows an extractor while it is trained: a live bar on a terminal, sparse lines elsewhere. All goes to stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import TaskID

from sngan_cli import console
from sngan_cli.bars import QUIET, Bars
from sngan_cli.rate import time_left

if TYPE_CHECKING:
    from sngan_cli.engine.classifier import Trained


class ExtractorDisplay(Bars):
    """Watches the training for the user: pass, loss, accuracy on held-out pictures and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._training: TaskID | None = None
        self._epochs = 0
        self._accuracy = ""
        self._began = self._spoken = time.monotonic()

    def begin(self, message: str, epochs: int) -> None:
        """Say what begins."""
        console.note(message)
        self._epochs = epochs
        self._training = self._bars.add_task("training", total=None)
        self._began = self._spoken = time.monotonic()

    def trained(self, progress: Trained) -> None:
        """Show how far training has come."""
        if progress.accuracy is not None:
            self._accuracy = f"accuracy {progress.accuracy:.1%}  "
        # What matters most comes first: where there is little room, the end is cut.
        said = f"{self._accuracy}epoch {progress.epoch}/{self._epochs}  loss {progress.loss:.3f}"
        if self._training is not None:
            self._bars.update(self._training, total=progress.total, completed=progress.step, said=said)
        now = time.monotonic()
        if not self._live and (now - self._spoken > QUIET or progress.step == progress.total):
            self._spoken = now
            left = (now - self._began) / progress.step * (progress.total - progress.step)
            console.note(f"{said}  {time_left(left)}")

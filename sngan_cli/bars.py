"""Bars for whatever takes long, on a terminal; all of it goes to stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from sngan_cli import console

QUIET = 30.0
"""Seconds between lines of progress where there is no terminal."""


class Bars:
    """One bar for each thing that is under way, and warnings above them; only warnings where there is no terminal.

    `amount` is a column of its own for how much is done, in place of counts.
    """

    def __init__(self, amount: ProgressColumn | None = None) -> None:
        self._console = console.stderr()
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            amount or TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[said]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
            disable=not self._live,
            refresh_per_second=2,  # each drawing takes time from training
        )
        self._under_way: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bars.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done; the bar goes when all are."""
        if what not in self._under_way:
            self._under_way[what] = self._bars.add_task(what, total=total, said="")
        self._bars.update(self._under_way[what], completed=done, total=total)
        if done >= total:
            self._bars.remove_task(self._under_way.pop(what))

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""
        self.show("preparing pictures", done, total)

    def warn(self, message: str) -> None:
        """Show a warning above the bars."""
        console.warn(message)

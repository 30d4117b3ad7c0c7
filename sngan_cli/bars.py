"""Bars for whatever takes long, on a terminal; all of it goes to stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from sngan_cli import console
from sngan_cli.rate import time_left
from sngan_cli.wording import joined

QUIET = 30.0
"""Seconds between lines of progress where there is no terminal."""


class Bars:
    """One bar for each thing that is under way, and warnings above them; sparse lines where there is no terminal.

    Beside its bar stand how much is done, what is said of it, how much is done in a second, and the time left. `unit`
    is that of what is counted, where it is to be said. What plugins print meanwhile goes to stderr, too: whoever reads
    stdout gets results alone.
    """

    def __init__(self, unit: str = "") -> None:
        self._console = console.stderr()
        self._live = self._console.is_terminal
        self._unit = f" {unit}" if unit else ""
        bar_width = max(4, min(24, (self._console.width - 60) // 2))
        self._bars = Progress(
            _Cell(lambda task: task.description, shortens=True),
            BarColumn(bar_width, table_column=Column(no_wrap=True)),
            _Cell(self._amount_of),
            _Cell(lambda task: str(task.fields.get("said", "")), shortens=True),
            _Cell(self._rate_of),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
            disable=not self._live,
            refresh_per_second=2,  # each drawing takes time from training
        )
        self._under_way: dict[str, TaskID] = {}
        self._begun: dict[str, float] = {}
        self._said = 0.0
        self._results = sys.stdout

    def __enter__(self) -> Self:
        self._printed = redirect_stdout(sys.stderr)
        self._printed.__enter__()
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._printed.__exit__(kind, error, trace)

    def show(self, what: str, done: float, total: float | None) -> None:
        """Show that `done` of `total` are done, None while that is not known; the bar goes when all are."""
        if not self._live:
            self._tell(what, done, total)
        if what not in self._under_way:
            self._under_way[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._under_way[what], completed=done, total=total)
        if total is not None and done >= total:
            self._bars.remove_task(self._under_way.pop(what))

    def _tell(self, what: str, done: float, total: float | None) -> None:
        """Print a line where there has been none of this for long."""
        now = time.monotonic()
        begun = self._begun.setdefault(what, now)
        if total is not None and done >= total:
            del self._begun[what]
        elif now - max(begun, self._said) >= QUIET:
            self._said = now
            of = "" if total is None else f"  {done:.0f}/{total:.0f}{self._unit}"
            left = "" if total is None or not done else time_left((now - begun) / done * (total - done))
            console.note(joined(f"{what}{of}", left))

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""
        self.show("preparing pictures", done, total)

    def warn(self, message: str) -> None:
        """Show a warning above the bars."""
        console.warn(message)

    def debug(self, message: str) -> None:
        """Show what only `--debug` asks for."""
        if os.environ.get("SNGAN_DEBUG"):
            console.note(f"debug: {message}")

    def _amount_of(self, task: Task) -> str:
        return "" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}{self._unit}"

    def _rate_of(self, task: Task) -> str:
        """The rate that was said to it, as that of training is, or that of the last half minute."""
        if "rate" in task.fields:
            return str(task.fields["rate"])
        speed = task.speed
        return "" if speed is None else f"{speed:.{0 if speed >= 10 else 2}f}{self._unit}/s"


class _Cell(ProgressColumn):
    """A text about a task, which may be one that `shortens` where the line is too long for the terminal."""

    def __init__(self, text: Callable[[Task], str], *, shortens: bool = False) -> None:
        super().__init__(Column(no_wrap=not shortens))  # rich takes room from columns that may wrap, first
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text(task), no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(what: str) -> Iterator[Callable[[float, float], None]]:
    """Show a bar while one thing is done, from its beginning on: call what this gives with (done, total)."""
    with Bars() as bars:
        bars.show(what, 0, None)
        yield partial(bars.show, what)

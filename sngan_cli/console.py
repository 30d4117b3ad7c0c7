"""Results go to stdout, everything else to stderr. What users wrote is shown as it is, never read as markup."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

_LEAST = 3
"""Columns of the terminal that a column of a table needs at least, if it may fold or be cut."""
WIDE = 10_000
"""Columns where there is no terminal: a table in a file or pipe is never cut."""


@cache
def stdout() -> Console:
    """Console of results."""
    return _console(sys.stdout)


@cache
def stderr() -> Console:
    """Console of progress and messages."""
    return _console(sys.stderr)


class Messages:
    """A stream that drops what is written once writing has failed (no reader, no room): no message ends the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or let it be."""
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write what waits, or let it be."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def note(message: str) -> None:
    """Tell the user something, on stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def warn(message: str) -> None:
    """Warn the user, on stderr."""
    from rich.text import Text

    # Printed at once: a live bar is drawn anew after each print, over a line that has not ended.
    stderr().print(Text.assemble(("warning:", "yellow"), f" {message}"), soft_wrap=True)


def confirm(question: str, action: str, *, yes: bool) -> None:
    """Ask before something is destroyed, unless the user has said yes; the program ends where the answer is no.

    Raises `UsageError`, which names the `action`, where there is no terminal to ask on.
    """
    import typer

    from sngan_cli.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{action} needs --yes where nobody can be asked.")
    try:
        if typer.confirm(question, err=True):
            return
    except typer.Abort:  # the input has ended, in the line of the question
        note("")
    note("Nothing was done.")
    raise typer.Exit(1)


def print_json(value: object) -> None:
    """Print a value as JSON, dates in ISO 8601 and records as objects; a list gets a line for each of its items."""
    if isinstance(value, list):
        # Without an indent, json uses its C encoder: a thousand runs take a tenth of the time.
        text = "[" + ",".join(f"\n{_json(item, None)}" for item in value) + ("\n]" if value else "]")
    else:
        text = _json(value, 2)
    sys.stdout.write(f"{text}\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    styles: Mapping[str, str] | None = None,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    cut: Collection[str] = (),
    worded: Collection[str] = (),
) -> None:
    """Print rows under a line of column names, `right` columns aligned right.

    On a terminal long cells fold, those of `worded` columns between words alone, except in `whole` columns, which keep
    their width, and in `cut` ones, which end in an ellipsis; `styles` colours cells by their text. Elsewhere, and where
    these do not fit, lines are whole and plain.
    """
    widths, least = list[int](), list[int]()
    for column, under in zip(columns, zip(columns, *rows, strict=True), strict=True):
        width, word = max(map(width_of, under)), max(map(width_of, " ".join(under).split()), default=0)
        widths.append(width)
        least.append(width if column in whole else word if column in worded else min(width, _LEAST))
    if not sys.stdout.isatty() or sum(least) + len(least) - 1 > stdout().width:
        for row in (columns, *rows):
            gaps = [" " * (w - width_of(cell)) for cell, w in zip(row, widths, strict=True)]
            cells = [gap + cell if c in right else cell + gap for cell, gap, c in zip(row, gaps, columns, strict=True)]
            sys.stdout.write("  ".join(cells).rstrip() + "\n")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, header_style="bold")
    for column in columns:
        side: JustifyMethod = "right" if column in right else "left"
        head = Text(column, no_wrap=True, overflow="ellipsis") if column in cut else column
        table.add_column(head, justify=side, overflow="fold", no_wrap=column in whole)
    for row in rows:
        texts = [Text(cell, style=(styles or {}).get(cell, "")) for cell in row]
        for column, cell in zip(columns, texts, strict=True):
            if column in cut:
                cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*texts)
    stdout().print(table)


def width_of(text: str) -> int:
    """Columns of a terminal that a text takes: letters of East Asian scripts take two each."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def say(text: str, style: str = "", *, whole: bool = False) -> None:
    """Write a line of a result; on a terminal in a style, and wrapped between words unless it is to stay `whole`."""
    if not sys.stdout.isatty():
        sys.stdout.write(f"{text}\n")
        return
    from rich.text import Text

    stdout().print(Text(text, style=style), soft_wrap=whole)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV under a line of column names."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def silence(stream: TextIO) -> None:
    """Send a stream that cannot be written any more to the null device, so that no later write fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _console(file: Any) -> Console:
    from rich.console import Console

    width = None if file.isatty() else WIDE
    return Console(file=file, width=width, highlight=False, emoji=False)


def _json(value: object, indent: int | None) -> str:
    try:
        return json.dumps(value, indent=indent, default=_plain, allow_nan=False)
    except ValueError:
        return json.dumps(without_nan(value), indent=indent, default=_plain)


def without_nan(value: object) -> object:
    """Replace NaN and infinity, of which JSON knows nothing, by None, throughout lists, mappings and records."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: without_nan(getattr(value, field.name)) for field in fields(value)}
    return value


def _plain(value: object) -> str | dict[str, Any]:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

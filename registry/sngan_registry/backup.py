"""Copies of SQLite registries, whole while others write, and verified before they bear their name."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from sngan_registry import database
from sngan_registry.errors import DamagedError, RegistryError, is_damage

_PAGES = 2048
"""Pages that are copied between two reports."""


def back_up(path: Path, target: Path, report: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Copy the database of a file to `target`, as it is at one moment; returns `target`.

    It is not there before all of it has been written and its integrity and numbers of rows verified; folders on the way
    to it are made. `report` is told how many pages of how many are done. Raises `RegistryError` where `target` exists,
    or the copy is not as it should be.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(sqlite3.connect(path, timeout=database.BUSY_TIMEOUT)) as source,
            closing(sqlite3.connect(partial)) as copy,
        ):
            source.isolation_level = None
            source.execute("BEGIN")  # what others commit from here on is neither counted nor copied
            rows = _rows(source)
            source.backup(copy, pages=_PAGES, progress=lambda _, left, total: report(total - left, total))
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a write-ahead log beside it
        with closing(sqlite3.connect(partial)) as copy:
            (sound,), copied = copy.execute("PRAGMA integrity_check(1)").fetchone(), _rows(copy)
        if sound != "ok":
            raise DamagedError(str(path), f"a copy of it is not sound ({' '.join(sound.split())})")
        if copied != rows:
            raise RegistryError(f"The copy of {path} has {copied} rows in place of {rows}: check the disk.")
        if target.exists():
            raise RegistryError(f"{target} exists already: a backup goes to a new file.")
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if is_damage(error):
            raise DamagedError(str(path), reason) from error
        raise RegistryError(f"The registry {path} cannot be copied to {target}: {reason}.") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return target


def move_aside(path: Path) -> Path:
    """Give a damaged database another name beside its own, with what belongs to it; returns where it lies then."""
    target = unused(path, f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    for ending in ("-journal", "-wal", "-shm", ""):
        part = Path(f"{path}{ending}")
        if part.exists():
            part.rename(f"{target}{ending}")  # a journal left behind would be played into the next database
    return target


def unused(path: Path, why: str) -> Path:
    """A name beside a file that says why it is put there, and that nothing bears yet."""
    plain = path.with_name(f"{path.name}.{why}")
    names = (plain if number == 1 else plain.with_name(f"{plain.name}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of rows of each table."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}

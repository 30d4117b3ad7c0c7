"""Runs that were removed: they are in no list, and can be restored, until they are deleted for good.

The registry knows nothing of files. Whoever moves or deletes those of a removed run does it in one of the contexts
here, which hold the run against all others; what was begun and not ended leaves the run removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, update

from sngan_registry import reads, tables
from sngan_registry.database import reading, writing
from sngan_registry.errors import RunBusyError, RunNotRemovedError
from sngan_registry.records import Run, Status
from sngan_registry.writes import lock


class Trash:
    """The removed runs of a database. It raises `RegistryError` where that cannot be read or written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def runs(self) -> tuple[Run, ...]:
        """Load all removed runs, newest first."""
        with reading(self._engine) as connection:
            return reads.removed_runs(connection)

    def get(self, ref: str) -> Run:
        """Find a removed run by id, name or unique prefix of its id.

        Raises `RunNotRemovedError`, and `AmbiguousRunError` where a name or prefix fits several.
        """
        with reading(self._engine) as connection:
            return reads.find_removed_run(connection, ref)

    def put(self, run_id: str) -> None:
        """Remove a run, from now on, or leave it removed; raises `RunBusyError` where it is being trained."""
        with writing(self._engine) as connection:
            row, now = lock(connection, run_id), datetime.now(UTC)
            if reads.status_of(row, now) is Status.RUNNING:
                raise RunBusyError(run_id, row["host"], row["pid"])
            there = (tables.runs.c.id == run_id, reads.THERE)
            connection.execute(update(tables.runs).where(*there).values(removed=now))

    @contextmanager
    def held(self, run_id: str) -> Iterator[Connection]:
        """Leave a run removed; raises `RunNotRemovedError` where another process has restored or deleted it."""
        with writing(self._engine) as connection:
            if lock(connection, run_id)["removed"] is None:
                raise RunNotRemovedError(run_id)
            yield connection

    @contextmanager
    def restoring(self, run_id: str) -> Iterator[None]:
        """Restore a run at the end, just as it was; raises `RunNotRemovedError` as `held` does."""
        with self.held(run_id) as connection:
            yield
            connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(removed=None))

    @contextmanager
    def deleting(self, run_id: str) -> Iterator[None]:
        """Delete a run and all that belongs to it at the end; raises `RunNotRemovedError` as `held` does."""
        with self.held(run_id) as connection:
            yield
            connection.execute(delete(tables.runs).where(tables.runs.c.id == run_id))

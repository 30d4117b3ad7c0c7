"""What writers share: locks, statements, and values of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from sngan_registry import tables
from sngan_registry.errors import RunNotFoundError
from sngan_registry.records import Artifact, Checkpoint, Event, Measurement, Status

T = TypeVar("T")

_RETRIES = 10


def lock(connection: Connection, run_id: str) -> RowMapping:
    """Keep others from writing to a run until the transaction ends; returns who trains it, and how it stands.

    Raises `RunNotFoundError`.
    """
    columns = [tables.runs.c[name] for name in ("host", "pid", "status", "created", "heartbeat", "ended", "removed")]
    statement = select(*columns).where(tables.runs.c.id == run_id).with_for_update()
    found = connection.execute(statement).mappings().one_or_none()
    if found is None:
        raise RunNotFoundError(run_id)
    return found


def forget(connection: Connection, run_id: str, step: int) -> None:
    """Delete the curves, scores and files of a run that came after a step; its checkpoints stay."""
    for table in (tables.scalars, tables.scores, tables.artifacts):
        connection.execute(delete(table).where(table.c.run_id == run_id, table.c.step > step))


def retried(connection: Connection, write: Callable[[], T]) -> T:
    """Write what others, who hold no common lock, may write at the same moment: where keys clash, it is tried again."""
    for _ in range(_RETRIES):
        with suppress(IntegrityError), connection.begin_nested():
            return write()
    return write()


def replace(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, one at least, in place of those with the same key; of two such rows the later counts."""
    keys = [column.name for column in table.primary_key]
    by_key = {tuple(row[key] for key in keys): row for row in rows}
    same_key = [table.c[key] == bindparam(f"the_{key}") for key in keys]
    connection.execute(
        delete(table).where(*same_key), [{f"the_{key}": row[key] for key in keys} for row in by_key.values()]
    )
    connection.execute(insert(table), list(by_key.values()))


def dated(record: Measurement | Checkpoint | Artifact | Event) -> dict[str, Any]:
    """Values of a record; one that does not say when it was made was made now."""
    return {**vars(record), "created": record.created or datetime.now(UTC)}


def generator_weights(evidence: Mapping[str, Any]) -> str:
    """What the evidence of a score gives to its key: which weights of G, and the seed of the images if one is named."""
    weights = str(evidence.get("generator_weights", ""))
    return f"{weights}, seed {evidence['seed']}" if "seed" in evidence else weights


def stored_status(status: str) -> str:
    """Status as a row has it: a lost run is one that says running."""
    return Status.RUNNING if status == Status.LOST else Status(status)

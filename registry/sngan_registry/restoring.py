"""Takes a run into a database as its folder describes it: the same id, times and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sngan_registry import tables
from sngan_registry.errors import RunNotFoundError
from sngan_registry.reads import status_of
from sngan_registry.records import Scalar, Status
from sngan_registry.soundness import check_value
from sngan_registry.writes import forget, generator_weights, lock, replace, stored_status

_OF_A_RUN = (tables.components, tables.scores, tables.checkpoints, tables.artifacts)
"""Tables whose rows are records of the same name in a description."""
_LABELS = frozenset({"name", "note", "parent"})
"""What training changes nothing of."""
_DATA_TOLD = re.compile(r"The data are \d+ pictures, SHA-256 ([0-9a-f]{64})\.")
"""What a run that was described before there was a place for it said of its data, in an event."""


def restore(connection: Connection, described: Mapping[str, Any], scalars: Iterable[Scalar]) -> str | None:
    """Insert a run that is not there yet; returns its id, or None where it is.

    One that is there, and that nobody trains, takes in what `described` tells, too, if that is of later than its end or
    last sign of life; its name, note and tags stay as they are. What came after a step that it has gone back to since
    is forgotten.
    `described` has, as plain values of JSON, the `run`, and lists of its `components`, `scores`, `checkpoints`,
    `artifacts` and `events`. What no column holds is passed over. A parent that is not there is left out. Raises
    `ValueError` where a value is missing or not what its column holds; nothing is inserted then.
    """
    run = _run(described)
    run_id: str = run["id"]
    known = _locked(connection, run_id)
    if known is not None and not _is_outlived(known, run):
        return None
    if run["parent"] is not None and not _is_there(connection, run["parent"]):
        run["parent"] = None
    rows: dict[Table, list[dict[str, Any]]] = {
        table: [_row(table, each, run_id=run_id, **_key_of(table, each)) for each in _list(described, table.name)]
        for table in _OF_A_RUN
    }
    events = [_row(tables.events, each, run_id=run_id) for each in _list(described, "events")]
    run["data_sha256"] = run["data_sha256"] or _data_told(events)
    rows[tables.tags] = [{"run_id": run_id, "tag": str(tag)} for tag in _list(described["run"], "tags")]
    rows[tables.scalars] = [{"run_id": run_id, **vars(scalar)} for scalar in scalars]
    if known is not None:
        for resumed in (event for event in events if event["kind"] == "resumed"):
            if resumed["step"] is not None and resumed["created"] > _last_sign(known):
                forget(connection, run_id, resumed["step"])
        trained = {name: value for name, value in run.items() if name not in _LABELS}
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(trained))
        del rows[tables.tags]
        again = (tables.events.c.run_id == run_id, tables.events.c.created.in_([each["created"] for each in events]))
        connection.execute(delete(tables.events).where(*again))
    elif not _inserted(connection, run):
        return None
    for table, found in rows.items():
        if found:
            replace(connection, table, found)
    if events:
        connection.execute(insert(tables.events), events)
    return run_id


def _inserted(connection: Connection, run: dict[str, Any]) -> bool:
    """Insert the row of a run; False where another process has done so meanwhile."""
    try:
        with connection.begin_nested():
            connection.execute(insert(tables.runs), run)
    except IntegrityError:
        if _is_there(connection, run["id"]):
            return False
        raise
    return True


def _run(described: Mapping[str, Any]) -> dict[str, Any]:
    values = described.get("run")
    if not isinstance(values, Mapping) or not isinstance(values.get("environment"), Mapping):
        raise ValueError("it describes no run")
    row = _row(tables.runs, {**values["environment"], **values})
    row["status"] = stored_status(row["status"])
    if row["status"] == Status.RUNNING and row["heartbeat"] is None:
        row["heartbeat"] = row["created"]
    return row


def _data_told(events: Iterable[Mapping[str, Any]]) -> str | None:
    told = (_DATA_TOLD.fullmatch(event["message"]) for event in events if event["kind"] == "data")
    return next((found[1] for found in told if found), None)


def _row(table: Table, values: object, **known: Any) -> dict[str, Any]:
    """Values for the columns of a table, beside those that are known; the database itself numbers rows."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{values!r} is no record for {table.name}")
    rest = [column for column in table.columns if column.name not in known and column is not table.autoincrement_column]
    return {**known, **{column.name: _value(column, values.get(column.name)) for column in rest}}


def _value(column: Column[Any], given: Any) -> Any:
    kind = column.type.python_type
    if kind is datetime and isinstance(given, str):
        given = datetime.fromisoformat(given)
        if given.tzinfo is None:
            raise ValueError(f"{column.name} has no time zone")
        try:
            given = given.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{column.name} is {given}, which is no time in UTC") from error
    elif kind is float and isinstance(given, int | str) and not isinstance(given, bool):
        given = float(given)  # also infinity, of which JSON knows nothing
    elif kind is int and isinstance(given, int) and given < 0:
        raise ValueError(f"{column.name} is {given}")
    check_value(column, given)
    return given


def _key_of(table: Table, values: object) -> dict[str, str]:
    """The part of a score's key that is drawn from its evidence."""
    if table is not tables.scores or not isinstance(values, Mapping):
        return {}
    evidence = values.get("evidence")
    return {"generator_weights": generator_weights(evidence if isinstance(evidence, Mapping) else {})}


def _list(values: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A list of a description; one that is not there is empty."""
    found = values.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name} is no list")
    return found


def _locked(connection: Connection, run_id: str) -> RowMapping | None:
    try:
        return lock(connection, run_id)
    except RunNotFoundError:
        return None


def _is_outlived(known: RowMapping, told: Mapping[str, Any]) -> bool:
    """Whether a run that nobody trains, and that was not removed, is told to have gone on."""
    is_still = known["removed"] is None and status_of(known, datetime.now(UTC)) is not Status.RUNNING
    return is_still and any(sign and sign > _last_sign(known) for sign in (told["heartbeat"], told["ended"]))


def _last_sign(known: RowMapping) -> datetime:
    sign: datetime = known["ended"] or known["heartbeat"] or known["created"]
    return sign


def _is_there(connection: Connection, run_id: str) -> bool:
    return connection.scalar(select(tables.runs.c.id).where(tables.runs.c.id == run_id)) is not None

"""Looks whether a database is sound, without changing anything in it, be it of an older release or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Table, func, select

from sngan_registry import schema, tables
from sngan_registry.database import connect, reading, registry_url, sqlite_file
from sngan_registry.errors import DamagedError
from sngan_registry.records import Status

Report = Callable[[int, int], None]
"""Is told how many rows of how many have been read."""

_EVERY = 10_000


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a database: in which row of which table, if that is known, and what."""

    what: str
    where: str | None = None


@dataclass(frozen=True)
class Examination:
    """What was found: the schema's revision, None where there is no registry yet or it cannot be read, and faults.

    Rows are read where the schema is this sngan's, and the database as such has no fault.
    """

    revision: str | None
    faults: tuple[Fault, ...]

    @property
    def is_current(self) -> bool:
        """Whether this sngan can read and write the tables as they are."""
        return self.revision in (None, schema.REVISION)


def examine(place: str | Path, report: Report = lambda done, total: None) -> Examination:
    """Examine the registry at a SQLAlchemy URL or path.

    Raises `SchemaError` for a database of a newer sngan or of another program, and `RegistryError` where it cannot be
    reached.
    """
    url = registry_url(place)
    path = sqlite_file(url)
    if path is not None and not path.exists():
        return Examination(None, ())
    engine = connect(url)
    found, faults = None, list[Fault]()
    try:
        found = schema.revision(engine)
        if found not in (None, schema.REVISION):
            schema.refuse_newer(found, engine)
        if engine.dialect.name == "sqlite":
            with reading(engine) as connection:
                faults.extend(_structure(connection))
        if not faults and found == schema.REVISION:
            faults.extend(_rows(engine, report))
    except DamagedError as error:
        faults.append(Fault(error.reason))
    finally:
        engine.dispose()
    return Examination(found, tuple(faults))


def _structure(connection: Connection) -> Iterator[Fault]:
    """What SQLite itself finds wrong: in the pages of the file, and between tables."""
    for (found,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if found == "ok":
            break
        yield Fault(" ".join(str(found).split()))
    else:
        return  # what stands in damaged pages says nothing about rows
    for table, rowid, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield Fault(f"belongs to one of {parent} that is not there", f"{table}, row {rowid}")


def _rows(engine: Engine, report: Report) -> Iterator[Fault]:
    """Rows with a value that is not of its column's kind; between two tables writers get their turn."""
    all_tables, done = tables.metadata.sorted_tables, 0
    with reading(engine) as connection:
        total = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in all_tables)
    for table in all_tables:
        kinds = _kinds(table)
        with reading(engine) as connection:
            try:
                with connection.execute(select(table).execution_options(yield_per=_EVERY)) as found:
                    for row in found:
                        _check(table, kinds, row)
                        done += 1
                        if done % _EVERY == 0:
                            report(done, total)
            except (ValueError, TypeError, LookupError):
                yield from _one_by_one(connection, table)
    report(total, total)


def _one_by_one(connection: Connection, table: Table) -> Iterator[Fault]:
    """Look at a table that holds something unreadable row by row."""
    columns, kinds = [*table.primary_key], _kinds(table)
    for key in connection.execute(select(*columns)).all():
        same = [column == value for column, value in zip(columns, key, strict=True)]
        try:
            for row in connection.execute(select(table).where(*same)):
                _check(table, kinds, row)
        except (ValueError, TypeError, LookupError) as error:
            yield Fault(f"unreadable ({error})", f"{table.name} {', '.join(map(str, key))}")


def _check(table: Table, kinds: Sequence[Set[type]], row: Row[Any]) -> None:
    """Raise `ValueError` where a value is not of its column's kind, or missing: SQLite keeps whatever it is given."""
    if not all(type(value) in kind for value, kind in zip(row, kinds, strict=True)):
        for column, value in zip(table.columns, row, strict=True):
            check_value(column, value)
    if table is tables.runs:
        Status(row.status)


def _kinds(table: Table) -> list[Set[type]]:
    """The types that the values of each column usually have."""
    return [{column.type.python_type, *((type(None),) if column.nullable else ())} for column in table.columns]


def check_value(column: Column[Any], value: Any) -> None:
    """Raise `ValueError` where a column cannot hold a value."""
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
    elif not isinstance(value, column.type.python_type) or isinstance(value, bool) != (column.type.python_type is bool):
        raise ValueError(f"{column.name} is {value!r}, not of type {column.type.python_type.__name__}")

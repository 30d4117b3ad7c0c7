"""What `examine` finds wrong with a database, on every back end where that can be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sngan_registry import Checkpoint, Event, Scalar, SchemaError, Score, Store, schema, soundness
from sngan_registry.soundness import Fault, examine


@pytest.fixture
def run_id(store: Store, new_run: Any) -> str:
    """A run with something in every table that belongs to runs, NaN and empty fields included."""
    run = store.create_run(new_run(name="whole", tags=("t",), note="n"))
    store.add_scalars(run.id, [Scalar(name="loss", step=step, value=float("nan")) for step in range(3)])
    score = Score(metric="is", value=2.0, std=None, higher_is_better=True, protocol="p", evidence={"images": 5}, step=2)
    store.add_score(run.id, score)
    store.add_checkpoint(run.id, Checkpoint(step=2, path="checkpoints/2", size=2**40, sha256="a" * 64))
    store.add_event(run.id, Event(kind="k", message="m"))
    return run.id


def test_a_sound_registry(url: str, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "_EVERY", 2)
    told: list[tuple[int, int]] = []
    found = examine(url, lambda done, total: told.append((done, total)))
    assert (found.revision, found.faults, found.is_current) == (schema.REVISION, (), True)
    rows = 1 + 1 + 2 + 3 + 1 + 1 + 1  # runs, tags, components, scalars, scores, checkpoints, events
    assert told == [*((done, rows) for done in range(2, rows + 1, 2)), (rows, rows)]


def test_no_registry_yet(url: str, tmp_path: Path) -> None:
    assert examine(url).revision is None
    assert list(tmp_path.glob("*.db*")) == []


@pytest.mark.parametrize(
    ("table", "column", "value", "where", "what"),
    [
        ("runs", "status", "asleep", "runs {run}", "unreadable ('asleep' is not a valid Status)"),
        ("runs", "config", "[1]", "runs {run}", "unreadable (config is [1], not of type dict)"),
        ("scores", "evidence", '"x"', "scores {run}, is, p, 2, ", "unreadable (evidence is 'x', not of type dict)"),
    ],
)
def test_values_that_are_not_of_their_column(
    url: str, run_id: str, execute: Any, table: str, column: str, value: str, where: str, what: str
) -> None:
    execute(f"UPDATE {table} SET {column} = :value", value=value)
    assert examine(url).faults == (Fault(what, where.format(run=run_id)),)


@pytest.mark.parametrize(
    ("table", "column", "value", "what"),
    [
        ("runs", "created", "noon", "unreadable (Invalid isoformat string: 'noon')"),
        ("checkpoints", "size", "big", "unreadable (size is 'big', not of type int)"),
        ("events", "message", b"\x00\x01", r"unreadable (message is b'\x00\x01', not of type str)"),
    ],
)
def test_sqlite_keeps_whatever_it_is_given(
    tmp_path: Path, new_run: Any, table: str, column: str, value: object, what: str
) -> None:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        run = store.create_run(new_run())
        store.add_checkpoint(run.id, Checkpoint(step=2, path="p", size=1, sha256="a" * 64))
        store.add_event(run.id, Event(kind="k", message="m"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    (fault,) = examine(path).faults
    assert fault.what == what


def test_a_row_that_belongs_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    Store.open(path).dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO tags VALUES ('nobody', 'x')")
    assert examine(path).faults == (Fault("belongs to one of runs that is not there", "tags, row 1"),)


def test_damaged_pages(tmp_path: Path, new_run: Any) -> None:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        store.create_run(new_run())
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_runs_name'").fetchone()
    content = bytearray(path.read_bytes())
    content[4096 * (page - 1) : 4096 * (page - 1) + 8] = b"\xff" * 8
    path.write_bytes(content)
    found = examine(path)
    assert found.faults
    assert any(f"page {page}" in fault.what.lower() or "malformed" in fault.what for fault in found.faults)
    assert not any("\n" in fault.what for fault in found.faults)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_text("these are no pages of a database\n" * 100, encoding="utf-8")
    found = examine(path)
    assert (found.revision, found.faults) == (None, (Fault("file is not a database"),))


def test_an_older_registry_is_left_as_it_is(url: str, run_id: str, execute: Any) -> None:
    execute("UPDATE alembic_version SET version_num = '0001'")
    for _ in range(2):
        found = examine(url)
        assert (found.revision, found.faults, found.is_current) == ("0001", (), False)


def test_a_newer_registry_and_another_program_s_are_refused(url: str, run_id: str, execute: Any) -> None:
    execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="has schema '9999'"):
        examine(url)
    execute("DROP TABLE alembic_version")
    with pytest.raises(SchemaError, match="holds tables of something else"):
        examine(url)

"""Backups: whole while others write, verified, and never in place of another file."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sngan_registry import DamagedError, RegistryError, Scalar, Store, backup, database, schema
from sngan_registry.backup import back_up, move_aside, unused

FIRST_RELEASE = Path(__file__).parents[1] / "data" / "registries" / "0001.sql"


@pytest.fixture
def registry(tmp_path: Path, new_run: Any) -> Path:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        store.create_run(new_run(name="kept", tags=("a", "b")))
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("wal", [True, False])
def test_a_backup_is_the_whole_registry_in_one_file(
    registry: Path, wal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "wal_is_safe", lambda _: wal)
    pages: list[tuple[int, int]] = []
    with Store.open(registry) as store:
        store.update(store.get("kept").id, note="in the write-ahead log, if there is one")
        target = back_up(registry, tmp_path / "copies.db", lambda done, total: pages.append((done, total)))
        assert dump(target) == dump(registry)
    assert pages[-1][0] == pages[-1][1] == registry.stat().st_size // 4096
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copies.db", "registry.db"]


def test_a_copy_waits_for_a_writer_as_long_as_all_do(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    with closing(sqlite3.connect(registry, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with pytest.raises(RegistryError, match="database is locked"):
            back_up(registry, tmp_path / "copy.db")
        assert time.monotonic() - began < 2


def test_others_write_meanwhile(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write adds a pair of points at once: a copy of a moment has both or none."""
    monkeypatch.setattr(backup, "_PAGES", 1)
    over, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        with Store.open(registry) as store:
            run_id = store.get("kept").id
            while not over.is_set():
                store.add_scalars(run_id, [Scalar(name=name, step=written, value=0.5) for name in ("one", "other")])
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(5):
            copy = back_up(registry, tmp_path / f"{number}.db")
            with Store.open(copy) as store:
                run_id = store.get("kept").id
                names = [scalar.name for scalar in store.scalars(run_id)]
                one, other = names.count("one"), names.count("other")
            assert one == other
            counts.append(one)
    finally:
        over.set()
        writer.join()
    assert counts == sorted(counts)
    with Store.open(registry) as store:
        assert len(store.scalars(store.get("kept").id)) == 2 * written


def test_a_backup_never_replaces_a_file(registry: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine", encoding="utf-8")
    with pytest.raises(RegistryError, match="there exists already: a backup goes to a new file"):
        back_up(registry, there)
    assert there.read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry.db", "there"]


def test_a_damaged_registry_is_not_backed_up(registry: Path, tmp_path: Path) -> None:
    content = bytearray(registry.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xff" * 4096 * 2
    registry.write_bytes(content)
    with pytest.raises(DamagedError, match=r"registry\.db is damaged: .*`sngan registry rebuild`"):
        back_up(registry, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == [registry]


def test_a_copy_that_lacks_rows_is_refused(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter(({"runs": 2}, {"runs": 1}))
    monkeypatch.setattr(backup, "_rows", lambda _: next(counted))
    with pytest.raises(RegistryError, match=r"has \{'runs': 1\} rows in place of \{'runs': 2\}"):
        back_up(registry, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == [registry]


def test_a_folder_that_cannot_be(registry: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot be copied to .*registry\.db/copy\.db: File exists"):
        back_up(registry, registry / "copy.db")


def test_names_that_nothing_bears(registry: Path) -> None:
    first = unused(registry, "before-0003")
    assert first == registry.with_name("registry.db.before-0003")
    first.touch()
    assert unused(registry, "before-0003") == registry.with_name("registry.db.before-0003-2")


def test_a_registry_is_moved_aside_with_its_journals_which_go_first(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stayed behind, where that is interrupted, would be played into the next database."""
    before, rename, renamed = registry.read_bytes(), Path.rename, list[str]()

    def noting(path: Path, target: str) -> Path:
        renamed.append(path.name.removeprefix(registry.name))
        return rename(path, target)

    for ending in ("-journal", "-wal", "-shm"):
        Path(f"{registry}{ending}").write_text(ending, encoding="utf-8")
    monkeypatch.setattr(Path, "rename", noting)
    moved = move_aside(registry)
    assert moved.read_bytes() == before
    assert ({*renamed}, renamed[-1]) == ({"", "-journal", "-wal", "-shm"}, "")
    assert {path.name.removeprefix(moved.name) for path in registry.parent.iterdir()} == {*renamed}
    with Store.open(registry) as store:
        assert store.summaries() == []


def test_a_second_migration_of_the_same_name_keeps_the_first_backup(tmp_path: Path) -> None:
    """As where an older registry was put back after a migration."""
    registry = tmp_path / "registry.db"
    with closing(sqlite3.connect(registry)) as connection:
        connection.executescript(FIRST_RELEASE.read_text(encoding="utf-8"))
    before = dump(registry)
    kept = registry.with_name(f"registry.db.before-{schema.REVISION}")
    kept.write_text("the first", encoding="utf-8")
    with Store.open(registry) as store:
        assert store.upgraded == schema.Upgrade("0001", Path(f"{kept}-2"))
    assert kept.read_text(encoding="utf-8") == "the first"
    assert dump(Path(f"{kept}-2")) == before

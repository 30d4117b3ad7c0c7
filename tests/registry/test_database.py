"""Files and servers that cannot be used, and what SQLite needs."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from sngan_registry import MovedError, RegistryError, Store, database


def journal_mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return str(mode)


def test_a_path_names_a_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_run: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Store.open("~/registry.db") as store:
        run = store.create_run(new_run())
    for place in (tmp_path / "registry.db", str(tmp_path / "registry.db"), f"sqlite:///{tmp_path}/registry.db"):
        with Store.open(place) as store:
            assert store.get("@last") == run


@pytest.mark.parametrize("place", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_one_for_all_threads(place: str, new_run: Any) -> None:
    with Store.open(place) as store, ThreadPoolExecutor(4) as threads:
        ids = [run.id for run in threads.map(lambda _: store.create_run(new_run()), range(20))]
        assert sorted(summary.run.id for summary in store.summaries()) == sorted(ids)


def test_a_thread_that_is_not_done_when_a_store_is_let_go_of_leaves_no_connection_open(tmp_path: Path) -> None:
    store, used = Store.open(tmp_path / "registry.db"), list[Any]()
    with database.writing(store._engine) as connection:
        used.append(connection.connection.driver_connection)
        store.dispose()
    with database.reading(store._engine) as connection:  # a thread that comes later still
        used.append(connection.connection.driver_connection)
    for driver in used:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            driver.execute("SELECT 1")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_text("these are no pages of a database\n" * 100, encoding="utf-8")
    with pytest.raises(RegistryError) as refused:
        Store.open(path)
    assert str(refused.value) == (
        f"The registry {path} is damaged: file is not a database; `sngan registry check` looks for more, and "
        "`sngan registry rebuild` makes it anew from the folders of runs."
    )


def test_a_damaged_database(tmp_path: Path, new_run: Any) -> None:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        store.create_run(new_run())
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with (
        pytest.raises(RegistryError, match=r"is damaged: .*malformed; `sngan registry check`"),
        Store.open(path) as store,
    ):
        store.summaries()


def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "registry.db"
    with pytest.raises(RegistryError) as refused:
        Store.open(path)
    assert str(refused.value) == f"The registry {path} cannot be opened: create the folder {path.parent} first."
    assert not path.parent.exists()


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"unable to open database file; check that it is a file that you may read"):
        Store.open(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written(tmp_path: Path, new_run: Any) -> None:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        run = store.create_run(new_run())
    path.chmod(0o400)
    with Store.open(path) as store:
        assert store.run(run.id) == run
        with pytest.raises(RegistryError, match=r"readonly database; check that you may write the file"):
            store.create_run(new_run())


def test_a_file_that_stays_locked(tmp_path: Path, new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.db"
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    with Store.open(path) as store:
        run = store.create_run(new_run())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert store.run(run.id) == run
        with pytest.raises(RegistryError, match=r"database is locked; another program has kept it locked .* end it"):
            store.heartbeat(run.id, 1)
        other.close()
        store.heartbeat(run.id, 1)
        assert store.run(run.id).step == 1


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(RegistryError) as refused:
        Store.open("postgresql+psycopg://ann:secret@db.example.org/runs")
    assert str(refused.value) == (
        "The registry postgresql+psycopg://ann:***@db.example.org/runs needs a driver that is not installed: "
        "pip install 'psycopg[binary]'."
    )


def test_an_unknown_kind_of_database() -> None:
    with pytest.raises(RegistryError, match=r"ann:\*\*\*@db/runs is on a kind of database .* 'postgrsql'"):
        Store.open("postgrsql://ann:secret@db/runs")


@pytest.mark.parametrize(
    "url",
    [
        "://ann:secret@db",
        "postgresql+psycopg:/ann:secret@db/runs",
        "postgresql+psycopg://ann:an@secret@db/runs",
        "postgresql+psycopg://ann:an@sec/ret@db/runs",
    ],
)
def test_a_url_that_cannot_be_read(url: str) -> None:
    with pytest.raises(
        RegistryError, match=r"The registry's URL cannot be read: write it as .*%40 for an @"
    ) as refused:
        Store.open(url)
    assert "sec" not in str(refused.value)


def test_a_label_hides_passwords_wherever_they_stand() -> None:
    url = "postgresql+psycopg://ann:an%40secret@db/runs?password=secret&sslpassword=secret&sslmode=require"
    assert database.label(database.registry_url(url)) == "postgresql+psycopg://ann:***@db/runs?sslmode=require"


def test_a_server_that_does_not_answer() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1/runs cannot be used: .*; check the URL") as refused:
        Store.open("postgresql+psycopg://ann:secret@127.0.0.1:1/runs")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setitem(database._LIBPQ, "connect_timeout", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}/runs"
        with pytest.raises(RegistryError, match=rf"{place} cannot be used: .*timeout expired; check the URL"):
            Store.open(f"postgresql+psycopg://ann:secret@{place}")


def test_what_does_not_answer_in_time_may_be_locked_where_it_is_a_file() -> None:
    file, server = database.registry_url("/a/registry.db"), database.registry_url("postgresql://ann:secret@db/runs")
    assert str(database.no_answer(file)) == (
        "The registry /a/registry.db does not answer: another program may keep it locked, so wait until that is done, "
        "or end it."
    )
    assert str(database.no_answer(server)) == "The registry postgresql://ann:***@db/runs does not answer."


# Modes of SQLite


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_needs_a_sqlite_without_the_reset_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], safe: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    mount(tmp_path, monkeypatch, "/dev/sda1 / ext4 rw 0 0")
    assert database.wal_is_safe(tmp_path / "registry.db") is safe


@pytest.mark.parametrize(
    ("mounts", "safe"),
    [
        ("/dev/sda1 / ext4 rw 0 0", True),
        ("server:/ / nfs4 rw 0 0", False),
        ("/dev/sda1 / ext4 rw 0 0\nserver:/home {folder} nfs rw 0 0", False),
        ("/dev/sda1 / ext4 rw 0 0\nserver:/home {folder}/my\\040runs fuse.sshfs rw 0 0", False),
        ("/dev/sda1 / ext4 rw 0 0\nserver:/home {folder}/my cifs rw 0 0", True),
        ("server:/ {folder} nfs rw 0 0\ntmpfs {folder} tmpfs rw 0 0\n/dev/sda1 / ext4 rw 0 0", True),
        (None, False),
    ],
)
def test_wal_needs_a_local_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str | None, safe: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    mount(tmp_path, monkeypatch, mounts)
    assert database.wal_is_safe(tmp_path / "my runs" / "registry.db") is safe


@pytest.mark.parametrize(("safe", "mode"), [(True, "wal"), (False, "delete")])
def test_the_journal_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_run: Any, safe: bool, mode: str
) -> None:
    path = tmp_path / "registry.db"
    monkeypatch.setattr(database, "wal_is_safe", lambda _: not safe)
    with Store.open(path) as store:
        run = store.create_run(new_run())
    monkeypatch.setattr(database, "wal_is_safe", lambda _: safe)
    with Store.open(path) as store:
        assert store.run(run.id) == run
        assert journal_mode(path) == mode


def mount(folder: Path, monkeypatch: pytest.MonkeyPatch, mounts: str | None) -> None:
    table = folder / "mounts"
    if mounts is not None:
        table.write_text(mounts.format(folder=folder) + "\n", encoding="utf-8")
    monkeypatch.setattr(database, "_MOUNTS", table)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_moved_while_it_is_used(tmp_path: Path, new_run: Any, is_replaced: bool) -> None:
    path, moved = tmp_path / "registry.db", tmp_path / "moved.db"
    what = "was replaced by another file" if is_replaced else "was moved or deleted"
    with Store.open(path) as store:
        run = store.create_run(new_run())
        path.rename(moved)
        if is_replaced:
            with Store.open(path) as other:
                other.create_run(new_run(name="other"))
        before = sorted(each.name for each in tmp_path.iterdir())
        for use in (store.summaries, lambda: store.update(run.id, name="late")):
            with pytest.raises(MovedError) as refused:
                use()
            assert str(refused.value) == f"The registry {path} {what} while it was in use: put it back where it was."
        store._engine.pool.dispose()  # a new connection makes no file
        with pytest.raises(MovedError):
            store.summaries()
        assert sorted(each.name for each in tmp_path.iterdir()) == before
        moved.rename(path)
        store.update(run.id, name="back")
    with Store.open(path) as store:
        assert [summary.run.name for summary in store.summaries()] == ["back"]


def test_connections_that_a_server_has_closed(url: str, new_run: Any, execute: Any) -> None:
    if url.startswith("sqlite"):
        pytest.skip("a file closes no connections")
    with Store.open(url) as store:
        run = store.create_run(new_run())
        with store._engine.connect() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
        execute("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
        store.heartbeat(run.id, 3)
        assert store.run(run.id).step == 3


def test_a_stop_that_the_driver_hides_is_obeyed(store: Store) -> None:
    """As of psycopg, which asks a server that does not answer whether the connection lives."""

    def ask() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise sqlite3.ProgrammingError("can't change 'autocommit' now")

    with pytest.raises(KeyboardInterrupt), database.reading(store._engine):
        ask()


def test_what_is_no_text_is_not_found(store: Store) -> None:
    """As `LC_ALL=C PYTHONUTF8=0 sngan runs show nösuch` asks for."""
    with pytest.raises(RegistryError, match=r"^'n.udcc3.udcb6such' cannot be looked up: .* Set LC_ALL to"):
        store.get(b"n\xc3\xb6such".decode("ascii", "surrogateescape"))


def test_what_a_server_does_not_grant(url: str, new_run: Any, execute: Any) -> None:
    if url.startswith("sqlite"):
        pytest.skip("a file knows no privileges")
    with Store.open(url) as store:
        execute("REVOKE INSERT ON runs FROM CURRENT_USER")
        with pytest.raises(RegistryError, match=r"permission denied for table runs; its owner can grant it to you\.$"):
            store.create_run(new_run())


@pytest.mark.parametrize(
    ("encoding", "refused"), [("SQL_ASCII", None), ("LATIN1", r"has no equivalent in encoding .LATIN1.")]
)
def test_a_database_that_is_not_in_unicode(url: str, new_run: Any, encoding: str, refused: str | None) -> None:
    if url.startswith("sqlite"):
        pytest.skip("a file is in Unicode")
    name = f"sngan_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            if not connection.scalar(text("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")):
                pytest.skip("this user may not create databases")
            connection.execute(text(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"))
        place = make_url(url).set(database=name, query={}).render_as_string(hide_password=False)
        with Store.open(place) as store:
            if refused is None:
                assert store.create_run(new_run(name="été 猫")) == store.get("été 猫")
            else:
                assert store.create_run(new_run(name="été")) == store.get("été")
                with pytest.raises(RegistryError, match=refused):
                    store.create_run(new_run(name="猫"))
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        admin.dispose()

"""Engines and transactions: what differs between databases, and errors in words.

Writers of a SQLite file queue: a write transaction takes the file's write lock at its start (BEGIN IMMEDIATE), so that
it waits its turn there instead of failing at its first write.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from sngan_registry.errors import DamagedError, MovedError, RegistryError, is_damage

BUSY_TIMEOUT = 30.0
"""Seconds that a transaction on a SQLite file waits for others."""

_MOUNTS = Path("/proc/mounts")
_LOCAL_FILE_SYSTEMS = frozenset({"apfs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})

_URL = re.compile(r"[\w+]{2,}:/|.*://", re.DOTALL)
"""How a URL begins, also one that lacks a slash; a single letter may be a drive of Windows."""

_WHEELS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Names that packages have on the index, where it is not that of the module."""

_WAY_OUT = {
    "SQLITE_BUSY": (
        f"another program has kept it locked for {BUSY_TIMEOUT:.0f} s: wait for that one, or end it, and try again"
    ),
    "SQLITE_CANTOPEN": "check that it is a file that you may read, in a folder that you may write",
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_IOERR": "check the disk",
    "SQLITE_READONLY": "check that you may write the file and its folder",
}

_LIBPQ = {
    "client_encoding": "utf8",
    "connect_timeout": "10",
    "tcp_user_timeout": "30000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
}
"""What PostgreSQL's drivers are told: to speak Unicode with a database that does not, too, and when to give a machine
up that is gone: connecting, in seconds, and else, in milliseconds; and after how many seconds of silence, and then how
often, to find out whether it is there, since nothing else tells where an answer is waited for."""

_NOT_GRANTED = "42501"
"""What PostgreSQL calls a lack of privileges."""


def registry_url(place: str | Path) -> URL:
    """Read a SQLAlchemy URL, or the path of a SQLite file."""
    if isinstance(place, Path) or not _URL.match(place):
        try:
            return URL.create("sqlite", database=str(Path(place).expanduser()))
        except RuntimeError as error:
            raise RegistryError(
                f"The registry {place} is in the home of a user who is not there: write ~/ for your own."
            ) from error
    try:
        url = make_url(place)
        if url.password is not None and "@" in f"{url.host}{url.database}":
            raise ValueError("what follows the @ of a password would be taken for the host, and shown")
    except (ArgumentError, ValueError) as error:
        # The text may hold a password, so the message does not show it.
        raise RegistryError(
            "The registry's URL cannot be read: write it as postgresql+psycopg://user:password@host/database, with %40 "
            "for an @ in the password, or as sqlite:///file."
        ) from error
    return url


def sqlite_file(url: URL) -> Path | None:
    """Path of the file where `url` is that of a plain SQLite file, else None."""
    name = url.database
    plain = url.get_backend_name() == "sqlite" and name and name != ":memory:" and not name.startswith("file:")
    return Path(name) if plain and name else None


def label(url: URL) -> str:
    """Name a registry in a message: its path, or its URL without the password."""
    secrets = [name for name in url.query if "pass" in name]
    return str(sqlite_file(url) or url.difference_update_query(secrets).render_as_string(hide_password=True))


def no_answer(url: URL) -> RegistryError:
    """What is wrong where a registry has not answered in the time that it was given."""
    why = ": another program may keep it locked, so wait until that is done, or end it" if sqlite_file(url) else ""
    return RegistryError(f"The registry {label(url)} does not answer{why}.")


def connect(url: URL) -> Engine:
    """Make an engine; nothing is read or created yet.

    One of a SQLite file raises `MovedError` once another file, or none, is in the place of the one that it opened.
    """
    path = sqlite_file(url)
    if path is not None and path.parent.is_file():
        raise RegistryError(f"The registry {path} cannot be opened: {path.parent} is a file, not a folder.")
    if path is not None and not path.parent.is_dir():
        raise RegistryError(f"The registry {path} cannot be opened: create the folder {path.parent} first.")
    try:
        # A server may have closed a connection that waited for long, or have been started again.
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", **_connections(url))
    except ModuleNotFoundError as error:
        package = _WHEELS.get(error.name or "", error.name)
        raise RegistryError(
            f"The registry {label(url)} needs a driver that is not installed: pip install '{package}'."
        ) from error
    except NoSuchModuleError as error:
        raise RegistryError(
            f"The registry {label(url)} is on a kind of database that SQLAlchemy does not know, "
            f"{url.drivername!r}: use sqlite or postgresql."
        ) from error
    if engine.dialect.name == "sqlite":
        _tame_sqlite(engine, "WAL" if path is not None and wal_is_safe(path) else "DELETE")
    if path is not None:
        _stay_with(engine, path)
    return engine


def _connections(url: URL) -> dict[str, Any]:
    """How connections are made: with what a URL leaves to be said of `_LIBPQ`, to drivers that know of it.

    A SQLite database in memory is its connection's own: there is one, which threads have in turn.
    """
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        one = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
        return {**one, "connect_args": {"check_same_thread": False}}
    knows_it = url.get_dialect().driver in {"psycopg", "psycopg2"}
    return {"connect_args": {key: value for key, value in _LIBPQ.items() if knows_it and key not in url.query}}


def let_go(engine: Engine) -> None:
    """Close its connections: those that threads still use, once they have done with them."""
    # `dispose` forgets those that are in use, and whoever gives one back then leaves it open.
    event.listen(engine, "checkin", lambda _, entry: entry.close())
    engine.dispose()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run queries in one transaction that is rolled back; raises `RegistryError` for what the database refuses.

    All of them see the database as it is at the first.
    """
    with _in_words(engine.url), engine.connect() as connection:
        if engine.dialect.name == "postgresql":  # where each would see what others have committed meanwhile
            connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            yield connection
        except UnicodeEncodeError as error:  # of what was asked for
            raise RegistryError(
                f"{error.object!r} cannot be looked up: it is no text in the encoding of the terminal. Set LC_ALL to a "
                "locale of UTF-8, such as C.UTF-8."
            ) from error
        except (ValueError, TypeError, KeyError) as error:  # of what stands in a row
            raise DamagedError(label(engine.url), f"a row is unreadable ({type(error).__name__}: {error})") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Commit at the end, or nothing at all; raises `RegistryError` for what the database refuses."""
    with _in_words(engine.url), engine.connect() as connection:
        connection.execution_options(sngan_writes=True)
        with connection.begin():
            yield connection


def wal_is_safe(path: Path) -> bool:
    """Say whether the WAL mode can be trusted with this file.

    SQLite before 3.51.3 (fixed also in 3.50.7 and 3.44.6) can lose commits when a WAL is reset, and the WAL's shared
    memory needs a local file system; one that is not known to be local is taken for remote.
    """
    version = sqlite3.sqlite_version_info
    sound = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    return sound and _file_system(path) in _LOCAL_FILE_SYSTEMS


def _file_system(path: Path) -> str | None:
    """Type of the file system that holds `path`, such as ext4 or nfs4; None where the system does not tell."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    real = path.resolve()
    found, depth = None, -1
    for mount in mounts:
        _, folder, kind, *_ = mount.split(" ")
        point = Path(folder.replace(r"\040", " "))
        # Of two mounts on one folder the later hides the earlier.
        if real.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def _tame_sqlite(engine: Engine, journal_mode: str) -> None:
    """Enforce foreign keys, wait for other processes, and leave the start of transactions to us."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")
        connection.execute("PRAGMA foreign_keys = ON")
        # The mode cannot be changed while others use the file, nor where it is read-only. Then it stays as it is.
        with suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA journal_mode = {journal_mode}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("sngan_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _stay_with(engine: Engine, path: Path) -> None:
    """Refuse any file but the first: SQLite would go on with one that is moved away, or make an empty one."""
    first: list[tuple[int, int]] = []

    def check(*_: Any) -> None:
        found = _identity(path)
        if first and found != first[0]:
            raise MovedError(str(path), is_replaced=found is not None)

    def on_checkout(*_: Any) -> None:
        check()
        if not first and (found := _identity(path)):
            first.append(found)

    event.listen(engine, "do_connect", check)
    event.listen(engine, "checkout", on_checkout)


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file is known by, whatever its name; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


@contextmanager
def _in_words(url: URL) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        hidden = cause.__context__
        if hidden is not None and not isinstance(hidden, Exception):  # a driver that was stopped could not clean up
            raise hidden from None
        reason = str(cause).partition("\n")[0].rstrip(". ")
        if is_damage(cause):
            raise DamagedError(label(url), reason) from error
        code = getattr(cause, "sqlite_errorname", "")
        way_out = next((words for name, words in _WAY_OUT.items() if code.startswith(name)), None)
        if getattr(cause, "sqlstate", None) == _NOT_GRANTED:
            way_out = "its owner can grant it to you"
        elif way_out is None and isinstance(error, OperationalError) and url.get_backend_name() != "sqlite":
            way_out = "check the URL, and that the server runs and lets you in"
        hint = f"; {way_out}" if way_out else ""
        raise RegistryError(f"The registry {label(url)} cannot be used: {reason}{hint}.") from error

"""Creates the tables and brings older databases up to date.

Alembic is imported only where there is something to do: an up-to-date database is recognised by one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect, text

from sngan_registry.backup import back_up, unused
from sngan_registry.database import label, reading, sqlite_file, writing
from sngan_registry.errors import SchemaError
from sngan_registry.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0004"
"""The newest migration: the tables that this sngan reads and writes."""

SCRIPTS = "sngan_registry:migrations"

_OWN = {"alembic_version", "runs", "scalars"}
"""Tables that tell a registry, of whichever revision, from what else Alembic has made."""

_LOCK = 0x736E67616E  # "sngan"; the number of PostgreSQL's advisory lock


@dataclass(frozen=True)
class Upgrade:
    """What was done: the revision before, None where there was no table yet, and the backup, if one was made."""

    before: str | None
    backup: Path | None


def revision(engine: Engine) -> str | None:
    """Revision of the database, or None where it holds no table yet.

    Raises `SchemaError` where the tables are not those of a registry.
    """
    with reading(engine) as connection:
        return _revision(connection)


def upgrade(engine: Engine) -> Upgrade | None:
    """Create the tables, or migrate them in one transaction after a backup; None where they are up to date.

    Processes that come here at the same time queue, and all but the first find nothing left to do. Raises `SchemaError`
    where the database is newer than this sngan.
    """
    from alembic import command

    backup = None
    try:
        with writing(engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
            found = _revision(connection)
            if found == REVISION:
                return None
            if found is not None:
                refuse_newer(found, engine)
                if path := sqlite_file(engine.url):
                    # As it was before the open, still empty, transaction.
                    backup = back_up(path, unused(path, f"before-{REVISION}"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, REVISION)
    except BaseException:
        if backup is not None:
            backup.unlink(missing_ok=True)  # nothing has changed, and the next try makes another
        raise
    return Upgrade(found, backup)


def refuse_newer(found: str, engine: Engine) -> None:
    """Raise `SchemaError` where a revision is none that this sngan knows."""
    from alembic.script import ScriptDirectory

    known = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
    if found not in known:
        raise SchemaError(
            f"The registry {label(engine.url)} has schema {found!r}, and this sngan knows {', '.join(sorted(known))}: "
            "upgrade it with `pip install --upgrade sngan`."
        )


def nothing() -> Engine:
    """Make a registry without runs that exists nowhere and cannot be written, for reading where there is none."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql("PRAGMA query_only = ON")
    return engine


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if _OWN.issubset(tables):
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    if tables:
        raise SchemaError(
            f"{label(connection.engine.url)} holds tables of something else ({', '.join(sorted(tables)[:3])}): "
            f"name an empty database for the registry."
        )
    return None


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.set_main_option("path_separator", "os")
    return config

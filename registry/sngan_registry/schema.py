"""Creates the tables and brings older databases up to date.

Alembic is imported only where there is something to do: an up-to-date database is recognised by one query.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect, text

from sngan_registry.database import label, reading, sqlite_file, writing
from sngan_registry.errors import SchemaError
from sngan_registry.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0003"
"""The newest migration: the tables that this sngan reads and writes."""

SCRIPTS = "sngan_registry:migrations"

_LOCK = 0x736E67616E  # "sngan"; the number of PostgreSQL's advisory lock


def revision(engine: Engine) -> str | None:
    """Revision of the database, or None where it holds no table yet.

    Raises `SchemaError` where the tables are not those of a registry.
    """
    with reading(engine) as connection:
        return _revision(connection)


def upgrade(engine: Engine) -> None:
    """Create the tables, or migrate them in one transaction after a backup.

    Processes that come here at the same time queue, and all but the first find nothing left to do. Raises `SchemaError`
    where the database is newer than this sngan.
    """
    from alembic import command

    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        found = _revision(connection)
        if found == REVISION:
            return
        config = _config()
        if found is not None:
            _refuse_unknown(found, config, engine)
            _back_up(engine)
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)


def nothing() -> Engine:
    """Make a registry without runs that exists nowhere and cannot be written, for reading where there is none."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql("PRAGMA query_only = ON")
    return engine


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
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


def _refuse_unknown(found: str, config: Config, engine: Engine) -> None:
    from alembic.script import ScriptDirectory

    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found not in known:
        raise SchemaError(
            f"The registry {label(engine.url)} has schema {found!r}, and this sngan knows {', '.join(sorted(known))}: "
            "upgrade it with `pip install --upgrade sngan`."
        )


def _back_up(engine: Engine) -> None:
    """Copy a SQLite file as it was before the open, still empty, transaction."""
    path = sqlite_file(engine.url)
    if path is None:
        return
    target = path.with_name(f"{path.name}.before-{REVISION}")
    partial = Path(f"{target}.partial")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(target)

"""Migrations: they make what the tables say, keep what is there, and cost nothing where there is nothing to do."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

import sngan_registry
from sngan_registry import RegistryError, SchemaError, Store, schema
from sngan_registry.tables import metadata

DATA = Path(__file__).parents[1] / "data"

NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"

def upgrade():
    op.add_column("runs", sa.Column("colour", sa.Text))
    {then}
"""


def test_migrations_make_the_tables(url: str, store: Store) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        names = inspect(connection)
        for table in metadata.tables.values():
            assert names.get_pk_constraint(table.name)["name"] == table.primary_key.name
            keys = {(key["name"], key["options"]["ondelete"]) for key in names.get_foreign_keys(table.name)}
            assert keys == {(key.name, key.ondelete) for key in table.foreign_key_constraints}
    engine.dispose()


def test_the_revision_is_the_last_migration() -> None:
    assert ScriptDirectory.from_config(schema._config()).get_current_head() == schema.REVISION


def test_a_newer_registry_is_refused(url: str, execute: Any) -> None:
    Store.open(url).dispose()
    execute("UPDATE alembic_version SET version_num = '9999'")
    for create in (True, False):
        known = "0001, 0002, 0003, 0004"
        with pytest.raises(
            SchemaError, match=rf"has schema '9999', and this sngan knows {known}: upgrade it with `pip install"
        ):
            Store.open(url, create=create)


def test_a_database_of_something_else_is_refused(url: str, execute: Any) -> None:
    execute("CREATE TABLE albums (id INTEGER)")
    with pytest.raises(SchemaError, match=r"holds tables of something else \(albums\): name an empty database"):
        Store.open(url)


@pytest.mark.parametrize("revision", ["1975ea83b712", schema.REVISION])
def test_a_database_that_alembic_keeps_for_another_program_is_refused(url: str, execute: Any, revision: str) -> None:
    execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    execute("INSERT INTO alembic_version VALUES (:revision)", revision=revision)
    execute("CREATE TABLE runs (run_uuid INTEGER)")
    for create in (True, False):
        with pytest.raises(
            SchemaError, match=r"holds tables of something else \(alembic_version, runs\): name an empty"
        ):
            Store.open(url, create=create)


def test_reading_creates_nothing(url: str, tmp_path: Path, new_run: Any) -> None:
    with Store.open(url, create=False) as store:
        assert store.summaries(tags=("x",), where={"loss": "hinge"}) == []
        with pytest.raises(RegistryError, match="the registry is empty"):
            store.get("@last")
        with pytest.raises(RegistryError, match="readonly"):
            store.create_run(new_run())
    assert list(tmp_path.glob("registry*")) == []
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    with Store.open(url) as store:
        run = store.create_run(new_run())
    with Store.open(url, create=False) as store:
        assert store.get("@last") == run


def test_reading_needs_no_folder(tmp_path: Path) -> None:
    with Store.open(tmp_path / "missing" / "registry.db", create=False) as store:
        assert store.summaries() == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the code know one more migration; returns its file, still unwritten."""
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(schema.__file__).with_name("migrations"), scripts)
    monkeypatch.setattr(schema, "SCRIPTS", str(scripts))
    monkeypatch.setattr(schema, "REVISION", "0005")
    return scripts / "versions" / "v0005_colour.py"


@pytest.fixture
def old_registry(tmp_path: Path, new_run: Any) -> Path:
    path = tmp_path / "registry.db"
    with Store.open(path) as store:
        store.create_run(new_run(name="old"))
    return path


def test_an_older_registry_is_backed_up_and_migrated(old_registry: Path, next_release: Path) -> None:
    next_release.write_text(NEXT_MIGRATION.format(then=""), encoding="utf-8")
    with Store.open(old_registry, create=False) as store:
        assert store.get("@last").name == "old"
    engine = create_engine(f"sqlite:///{old_registry}")
    assert "colour" in {column["name"] for column in inspect(engine).get_columns("runs")}
    engine.dispose()
    backup = create_engine(f"sqlite:///{old_registry}.before-0005")
    assert "colour" not in {column["name"] for column in inspect(backup).get_columns("runs")}
    with backup.connect() as connection:
        assert connection.scalar(text("SELECT name FROM runs")) == "old"
    backup.dispose()
    assert sorted(path.name for path in old_registry.parent.glob("registry*")) == [
        "registry.db",
        "registry.db.before-0005",
    ]


def test_a_migration_that_fails_changes_nothing(old_registry: Path, next_release: Path, monkeypatch: Any) -> None:
    next_release.write_text(NEXT_MIGRATION.format(then='op.drop_table("nowhere")'), encoding="utf-8")
    with pytest.raises(RegistryError, match="no such table: nowhere"):
        Store.open(old_registry)
    assert [path.name for path in old_registry.parent.glob("registry*")] == ["registry.db"]
    monkeypatch.undo()
    with Store.open(old_registry) as store:
        assert store.get("@last").name == "old"


@pytest.mark.parametrize("release", ["0001", "0002", "0003"])
def test_a_registry_of_an_earlier_release_keeps_everything(tmp_path: Path, release: str) -> None:
    """`tests/data/registries` has the dump of a registry that the release with that schema wrote."""
    path = tmp_path / "registry.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((DATA / "registries" / f"{release}.sql").read_text(encoding="utf-8"))
        before = contents(old)
    with Store.open(path, create=False) as store:
        run = store.get("old")
        assert (run.status, run.step, run.note, run.tags) == ("finished", 100, "a try", ("kept",))
        assert (store.get("@last").parent, run.removed, store.trash.runs()) == (run.id, None, ())
        assert run.data_sha256 == (64 * "d" if release == "0003" else None)  # an event told it
        (score,) = store.run_scores()
        assert (score.run_id, score.name, score.value, score.evidence["images"]) == (run.id, "old", 3.25, 100)
        apart = [*(each.name for each in store.extractors.all()), *(s.pictures for s in store.picture_scores.all())]
        assert apart == ([] if release == "0001" else ["mine", "near"])
    with closing(sqlite3.connect(path)) as new:
        assert contents(new, {table: columns for table, (columns, _) in before.items()}) == before
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    with closing(sqlite3.connect(f"{path}.before-{schema.REVISION}")) as backup:
        assert backup.execute("SELECT version_num FROM alembic_version").fetchall() == [(release,)]
        assert contents(backup) == before


@pytest.mark.parametrize(
    "message", ["X'54686520646174612061726520'", "CAST(X'80ff' AS TEXT)", "7", "'The data are 5.'"]
)
def test_odd_words_of_data_do_not_keep_a_registry_from_being_upgraded(tmp_path: Path, message: str) -> None:
    path = tmp_path / "registry.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((DATA / "registries" / "0003.sql").read_text(encoding="utf-8"))
        created = "'2026-10-01 12:00:00.000000'"
        old.execute(f"INSERT INTO events VALUES (99, '1m892crxnaa', 'data', {message}, NULL, {created})")
        old.commit()
    with Store.open(path) as store:
        assert store.get("old").data_sha256 == 64 * "d"


def contents(
    database: sqlite3.Connection, only: Mapping[str, list[str]] | None = None
) -> dict[str, tuple[list[str], list[Any]]]:
    """Columns and rows of all tables, or of these columns of these."""
    found = {}
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if table != "alembic_version" and (only is None or table in only):
            columns = only[table] if only else [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            found[table] = (columns, database.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall())
    return found


def imported(code: str) -> set[str]:
    """Packages that a fresh interpreter has imported after running the code."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_itself_is_light() -> None:
    modules = imported("import sngan_registry")
    assert "sngan_registry" in modules
    assert not modules & {"sqlalchemy", "alembic", "pydantic", "torch", "sngan_cli"}


@pytest.mark.parametrize("create", [True, False])
def test_opening_a_current_registry_imports_no_alembic(old_registry: Path, create: bool) -> None:
    code = f"from sngan_registry import Store\nStore.open({str(old_registry)!r}, create={create}).summaries()"
    modules = imported(code)
    assert "sqlalchemy" in modules
    assert not modules & {"alembic", "mako", "pydantic", "torch", "sngan_cli"}


def test_the_public_names_are_there() -> None:
    assert sngan_registry.Store is Store
    assert all(hasattr(sngan_registry, name) for name in sngan_registry.__all__)
    with pytest.raises(AttributeError, match="'sngan_registry' has no attribute 'Shop'"):
        _ = sngan_registry.Shop

"""`sngan registry path | upgrade | backup`: where runs are recorded, its schema, and copies of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import registry_backup
from sngan_registry import Store
from sngan_registry.schema import REVISION

FIRST_RELEASE = Path(__file__).parents[1] / "data" / "registries" / "0001.sql"


def test_the_registry_is_a_file_in_the_home_and_asking_creates_nothing(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNGAN_HOME", str(tmp_path / "home"))
    assert sngan("registry", "path").out == f"{tmp_path / 'home' / 'registry.db'}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_option_goes_before_the_environment(sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", str(tmp_path / "environment.db"))
    assert sngan("registry", "path").out == f"{tmp_path / 'environment.db'}\n"
    assert sngan("--registry", tmp_path / "option.db", "registry", "path").out == f"{tmp_path / 'option.db'}\n"


def test_a_password_is_hidden(sngan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", "postgresql://me:secret@db/runs")
    assert sngan("registry", "path").out == "postgresql://me:***@db/runs\n"


def test_a_url_that_cannot_be_read_exits_with_4(sngan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", "://secret@")
    done = sngan("registry", "path")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("error: The registry's URL cannot be read")
    assert "secret" not in done.err


@pytest.mark.parametrize("inside", ["", "/sub/folder"])
@pytest.mark.parametrize(
    "arguments",
    [["runs", "list"], ["runs", "show", "@last"], ["scores", "list"], ["extractors", "list"], ["registry", "path"],
     ["registry", "check"], ["registry", "rebuild"], ["registry", "backup"],
     ["experiments", "list"], ["train", "--dataset", "shapes", "--steps", "1"], ["evaluate", "@last"]],
)  # fmt: skip
def test_a_home_that_is_a_file_is_named(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], inside: str
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("SNGAN_HOME", f"{tmp_path / 'file'}{inside}")
    done = sngan(*arguments)
    said = (
        f"error: SNGAN_HOME is '{tmp_path / 'file'}{inside}', and {tmp_path / 'file'} is a file: set it to a folder.\n"
    )
    assert (done.code, done.out, done.err) == (2, "", said)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_registry_in_a_file_is_refused(sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SNGAN_REGISTRY", str(tmp_path / "file" / "registry.db"))
    done = sngan("runs", "list")
    assert (done.code, done.out) == (4, "")
    assert f"{tmp_path / 'file'} is a file, not a folder" in done.err


def test_a_registry_in_the_users_home_may_be_made(
    sngan: Any, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sngan("--registry", "~/new/registry.db", "train", *tiny, "--steps", 0).code == 0
    assert (tmp_path / "new" / "registry.db").is_file()


def test_a_registry_in_a_folder_that_is_not_there_is_told_and_not_made(
    sngan: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "mistyped" / "registry.db"
    monkeypatch.setenv("SNGAN_REGISTRY", str(place))
    said = f"There is no registry {place} yet: "
    for command in (["runs", "list"], ["runs", "list", "--tag", "night"], ["scores", "list"]):
        done = sngan(*command)
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith(said)
    checked = sngan("registry", "check")
    assert (checked.code, checked.out) == (0, f"{said}what is recorded first makes it.\n")
    assert not place.parent.exists()


def test_upgrade_says_what_there_is(sngan: Any, home: Path) -> None:
    done = sngan("registry", "upgrade")
    assert (done.code, done.out) == (0, "")
    assert f"There is no registry {home / 'registry.db'} yet" in done.err
    assert not (home / "registry.db").exists()
    Store.open(home / "registry.db").dispose()
    done = sngan("registry", "upgrade")
    assert (done.code, done.out) == (0, f"{home / 'registry.db'} is up to date: schema {REVISION}.\n")


def test_upgrade_says_what_it_did(sngan: Any, home: Path) -> None:
    path = home / "registry.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_RELEASE.read_text(encoding="utf-8"))
    checked = sngan("registry", "check", "--json")
    assert checked.code == 4
    (finding,) = checked.json["findings"]
    assert finding["what"] == f"schema 0001, where this sngan has {REVISION}"
    assert finding["remedy"] == "bring it up to date: `sngan registry upgrade`"
    done = sngan("registry", "upgrade")
    assert (done.code, done.out) == (0, f"{path} was brought from schema 0001 to {REVISION}.\n")
    assert done.err == f"As it was before, it is in {path}.before-{REVISION}.\n"
    assert Path(f"{path}.before-{REVISION}").is_file()
    assert "is up to date" in sngan("registry", "upgrade").out


def test_backup_prints_where_it_is(sngan: Any, home: Path, tmp_path: Path) -> None:
    with Store.open(home / "registry.db"):
        pass
    by_itself, named = sngan("registry", "backup"), sngan("registry", "backup", tmp_path / "mine.db")
    assert (by_itself.code, named.code) == (0, 0)
    assert by_itself.out.startswith(f"{home / 'registry.db'}.backup-2")
    assert named.out == f"{tmp_path / 'mine.db'}\n"
    for done in (by_itself, named):
        with Store.open(done.out.strip(), create=False) as store:
            assert store.revision == REVISION


def test_backup_refuses_what_it_cannot_do(sngan: Any, home: Path, tmp_path: Path) -> None:
    done = sngan("registry", "backup")
    assert (done.code, done.err) == (3, f"error: There is no registry {home / 'registry.db'} yet, so none to copy.\n")
    Store.open(home / "registry.db").dispose()
    (tmp_path / "there").write_text("mine", encoding="utf-8")
    done = sngan("registry", "backup", tmp_path / "there")
    assert (done.code, done.err) == (2, f"error: {tmp_path / 'there'} exists already: name a new file.\n")
    assert (tmp_path / "there").read_text(encoding="utf-8") == "mine"
    done = sngan("registry", "backup", tmp_path / "there" / "copy.db")
    assert (done.code, "copy.db' cannot be written: " in done.err) == (2, True)


def test_a_backup_begun_within_the_second_of_another_has_a_name_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is still being copied then, so nothing bears its name yet."""
    Store.open(home / "registry.db").dispose()
    begun: list[Path] = []
    monkeypatch.setattr(registry_backup, "back_up", lambda path, target, report: begun.append(target))
    for _ in range(3):
        registry_backup.back_up_registry(None)
    assert len({*begun}) == 3


def test_a_backup_makes_the_folder_that_it_is_to_lie_in(sngan: Any, home: Path, tmp_path: Path) -> None:
    Store.open(home / "registry.db").dispose()
    done = sngan("registry", "backup", tmp_path / "new" / "copy.db")
    assert (done.code, done.out) == (0, f"{tmp_path / 'new' / 'copy.db'}\n")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.db"]


@pytest.mark.parametrize(
    ("url", "tool"),
    [("postgresql://me:secret@db/runs", "`pg_dump "), ("mysql://me:secret@db/runs", "`mysqldump ")],
)
def test_a_server_is_backed_up_by_its_own_tool(
    sngan: Any, monkeypatch: pytest.MonkeyPatch, url: str, tool: str
) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", url)
    done = sngan("registry", "backup")
    assert done.code == 2
    assert tool in done.err
    assert "secret" not in done.err

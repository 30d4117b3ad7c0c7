"""`sngan registry path`: where runs are recorded, said without making anything or giving a password away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


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

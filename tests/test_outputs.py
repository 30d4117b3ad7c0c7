"""Where a picture is to go is looked at before any work is done for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from sngan_cli.errors import SnganError, UsageError
from sngan_cli.outputs import check_output, written


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grid.bmp", r"has no known ending: use one of \.png"),
        ("grid", r"has no known ending"),
        (".", r"has no known ending"),
        ("folder.png", r"is a folder"),
        (f"{'long' * 100}.png", r"cannot be written: File name too long"),
        ("file/grid.png", r"cannot be written: (Not a directory|File exists)"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=message):
        check_output(tmp_path / name, (".png", ".jpg"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match=r"cannot be written: Permission denied"):
        check_output(tmp_path / "closed" / "grid.png", (".png", ".jpg"))


def test_a_check_leaves_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / "deep" / "grid.png", (".png", ".jpg"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.png").write_bytes(b"precious")
    check_output(tmp_path / "old.png", (".png", ".jpg"))
    assert (tmp_path / "old.png").read_bytes() == b"precious"


def test_what_is_written_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "grid.png"
    with written(path) as partial:
        partial.write_bytes(b"first")
        assert not path.exists()
    with suppress(KeyError), written(path) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == {"grid.png": b"first"}


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SnganError, match=r"^The output '.*file/grid\.png' cannot be written: File exists\.$"),
        written(tmp_path / "file" / "grid.png"),
    ):
        pass

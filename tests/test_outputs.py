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
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "grid.png").touch()
    (tmp_path / "full").chmod(0o500)  # the file itself may be written, and none beside it
    for folder in ("closed", "full"):
        with pytest.raises(UsageError, match=r"cannot be written: Permission denied"):
            check_output(tmp_path / folder / "grid.png", (".png", ".jpg"))


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


def test_a_link_leads_to_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "latest.png").symlink_to("runs/1")
    for content in (b"first", b"second"):
        check_output(tmp_path / "latest.png", (".png",))
        with written(tmp_path / "latest.png") as partial:
            assert (partial.parent, partial.suffix) == (tmp_path / "runs", ".png")
            partial.write_bytes(content)
        assert (tmp_path / "latest.png").is_symlink()
        assert [each.read_bytes() for each in (tmp_path / "runs").iterdir()] == [content]


def test_what_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.touch(mode=0o600)
    with written(path) as partial:
        partial.write_bytes(b"second")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"second", 0o600)


def test_a_name_may_be_as_long_as_names_are(tmp_path: Path) -> None:
    path = tmp_path / f"{'l' * 251}.png"
    check_output(path, (".png",))
    with written(path) as partial:
        partial.touch()
    assert path.exists()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SnganError, match=r"^The output '.*file/grid\.png' cannot be written: File exists\.$"),
        written(tmp_path / "file" / "grid.png"),
    ):
        pass

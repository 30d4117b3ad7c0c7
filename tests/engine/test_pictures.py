"""Grids, stills and animations, pixel by pixel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sngan_cli.engine import pictures
from sngan_cli.errors import UsageError


def levels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3)


def test_a_grid_runs_row_by_row_with_white_between() -> None:
    sheet = np.asarray(pictures.grid(levels(10, 20, 30), 2))
    assert sheet.shape == (2 * 6 + 2, 2 * 6 + 2, 3)
    assert sheet[2, 2, 0] == 10
    assert sheet[5, 8, 0] == 20
    assert sheet[8, 2, 0] == 30
    assert sheet[8, 8, 0] == sheet[0, 0, 0] == sheet[6, 6, 0] == 255


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_an_animation_runs_there_and_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    pictures.save_animation([pictures.grid(levels(k), 1) for k in (0, 100, 200)], path)
    with Image.open(path) as found:
        assert found.n_frames == 4
        seen = []
        for k in range(4):
            found.seek(k)
            seen.append(found.convert("RGB").getpixel((3, 3))[0])
    assert seen == [0, 100, 200, 100]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grid.bmp", r"has no known ending: use one of \.png"),
        ("grid", r"has no known ending"),
        (".", r"has no known ending"),
        ("folder.png", r"is a folder"),
        ("file/grid.png", r"cannot be written: (Not a directory|File exists)"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=message):
        pictures.check_output(tmp_path / name, pictures.STILL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match=r"cannot be written: Permission denied"):
        pictures.check_output(tmp_path / "closed" / "grid.png", pictures.STILL)


def test_a_check_leaves_no_file_and_spoils_none(tmp_path: Path) -> None:
    pictures.check_output(tmp_path / "new" / "grid.png", pictures.STILL)
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "old.png").write_bytes(b"precious")
    pictures.check_output(tmp_path / "old.png", pictures.STILL)
    assert (tmp_path / "old.png").read_bytes() == b"precious"

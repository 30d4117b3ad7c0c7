"""Grids, stills and animations, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sngan_cli.engine import pictures
from sngan_cli.errors import SnganError, UsageError


def levels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3)


def test_a_grid_runs_row_by_row_with_white_between() -> None:
    sheet = np.asarray(pictures.grid(levels(10, 20, 30), 2))
    assert sheet.shape == (2 * 6 + 2, 2 * 6 + 2, 3)
    assert sheet[2, 2, 0] == 10
    assert sheet[5, 8, 0] == 20
    assert sheet[8, 2, 0] == 30
    assert sheet[8, 8, 0] == sheet[0, 0, 0] == sheet[6, 6, 0] == 255


def test_each_pixel_of_a_grid_is_enlarged_to_a_square() -> None:
    image = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    sheet = np.asarray(pictures.grid(image.reshape(1, 2, 3, 1).repeat(3, 3), 1, scale=2))
    assert sheet.shape == (4 + 4, 4 + 6, 3)
    assert sheet[2:-2, 2:-2, 0].tolist() == [[1, 1, 2, 2, 3, 3]] * 2 + [[4, 4, 5, 5, 6, 6]] * 2


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
            assert found.info["duration"] == 80
    assert seen == [0, 100, 200, 100]
    assert found.info["loop"] == 0  # without end


def test_an_animation_in_webp_loses_nothing(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8, 3), dtype=np.uint8)
    pictures.save_animation([pictures.grid(frame, 1) for frame in frames], tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as found:
        for k, frame in enumerate(frames):
            found.seek(k)
            np.testing.assert_array_equal(np.asarray(found.convert("RGB"))[2:-2, 2:-2], frame[0])


def test_a_picture_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(SnganError, match=r"would be 70000 x 1 pixels, and \.jpg holds 65535 at most: choose \.png"):
        pictures.save(Image.new("RGB", (70_000, 1)), path)
    with pytest.raises(SnganError, match=r"would be 1 x 16384 pixels, and \.webp holds 16383 at most"):
        pictures.save(Image.new("RGB", (1, 16_384)), tmp_path / "tall.webp")
    with pytest.raises(SnganError, match="cannot be written"):
        pictures.save(Image.new("RGB", (1, 1)), path / "x.png")
    assert [p.name for p in tmp_path.iterdir()] == ["kept.jpg"]
    assert path.read_bytes() == b"precious"


def test_a_sheet_too_large_is_refused_before_it_is_made() -> None:
    with pytest.raises(UsageError, match=r"would be 32002 x 32002 pixels, 268435456 in all are allowed"):
        pictures.grid(np.broadcast_to(np.uint8(0), (1000 * 1000, 30, 30, 3)), 1000)


def test_side_by_side() -> None:
    left, right = Image.new("RGB", (10, 20), "red"), Image.new("RGB", (30, 20), "blue")
    sheet = pictures.side_by_side(left, right)
    assert sheet.size == (10 + 8 + 30, 20)
    assert [sheet.getpixel((x, 5)) for x in (9, 10, 17, 18)] == [(255, 0, 0), *[(255,) * 3] * 2, (0, 0, 255)]
    assert pictures.side_by_side(left, Image.new("RGB", (30, 25), "blue")).getpixel((18, 24)) == (0, 0, 255)

"""The drawn data set: areas of its figures worked out by hand, and pictures that depend on nothing but their seed."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sngan_cli.contracts import Pictures
from sngan_plugins.datasets.shapes import Shapes, draw

NAMES = ("disc", "ring", "square", "triangle", "star", "cross", "heart", "crescent", "bar", "hourglass")


def opened(**options: object) -> Pictures:
    return Shapes.model_validate(options).open(None, Path("unused"))


def test_ten_classes_take_turns() -> None:
    pictures = opened(images=25)
    assert (len(pictures), tuple(pictures.class_names or ())) == (25, NAMES)
    assert [pictures.read(k, 8)[1] for k in range(25)] == [k % 10 for k in range(25)]
    assert Shapes().default_side(pictures) == 32


@pytest.mark.parametrize("side", [6, 7, 32, 96])
def test_any_side(side: int) -> None:
    pixels, _ = opened().read(3, side)
    assert (pixels.shape, pixels.dtype) == ((side, side, 3), np.uint8)


# Areas in units of the squared radius. The star's ten corners lie at 1.15 and 0.46 by turns, 36 degrees apart.
AREAS = {
    "disc": math.pi * 0.95**2,
    "ring": math.pi * (0.97**2 - 0.47**2),
    "square": 1.5**2,
    "triangle": 3 * math.sqrt(3) / 4 * 1.1**2,
    "star": 10 * 0.5 * 1.15 * 0.46 * math.sin(math.radians(36)),
    "cross": 2 * (2.0 * 0.56) - 0.56**2,
    "bar": 2.1 * 0.52,
    "hourglass": 2 * (0.5 * 1.6 * 0.95),
}


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("tilt", [0, 180])
def test_figures_have_the_area_that_they_should(name: str, tilt: float) -> None:
    side, label = 200, NAMES.index(name)
    for seed in range(3):
        radius = np.random.default_rng(seed).uniform(0.28, 0.40)
        pixels = draw(label, side, tilt, np.random.default_rng(seed)).astype(int)
        # A figure is bright and saturated, its background dark: the brightest channel tells them apart.
        covered = (pixels.max(axis=2) > 160).sum() / side**2
        assert covered == pytest.approx(AREAS[name] * radius**2, rel=0.02)


def test_a_picture_depends_on_the_seed_and_its_number_alone() -> None:
    few, many = opened(images=10), opened(images=5000)
    np.testing.assert_array_equal(few.read(7, 16)[0], many.read(7, 16)[0])
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda k: many.read(k, 16)[0], range(40)))
    np.testing.assert_array_equal(drawn, [many.read(k, 16)[0] for k in range(40)])
    assert not np.array_equal(few.read(7, 16)[0], opened(images=10, seed=1).read(7, 16)[0])
    assert not np.array_equal(few.read(7, 16)[0], few.read(17, 16)[0])


def test_every_side_shows_the_same_picture() -> None:
    for k in range(10):
        large, small = (opened().read(k, side)[0].astype(float) for side in (64, 16))
        shrunk = large.reshape(16, 4, 16, 4, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 6


def test_without_tilt_figures_stand_upright() -> None:
    """A square's rows are all as wide."""
    pixels = draw(NAMES.index("square"), 200, 0, np.random.default_rng(5)).max(axis=2) > 160
    widths = pixels.sum(axis=1)
    assert set(np.unique(widths[widths > 0])) <= {widths.max(), widths.max() - 1, widths.max() - 2}


def test_the_drawing_stays_what_it_was() -> None:
    """Runs that name its version have seen these pictures: means of their left halves, of red, green and blue."""
    assert opened().identity == "shapes drawing=1 tilt=25.0 seed=0 images=4000"
    expected = [
        [88, 69, 29], [60, 79, 83], [51, 37, 34], [90, 54, 79], [63, 106, 86],
        [51, 66, 64], [38, 57, 33], [95, 33, 57], [85, 59, 67], [38, 78, 34],
    ]  # fmt: skip
    pictures = opened(seed=3)
    found = [pictures.read(k, 16)[0][:, :8].mean((0, 1)) for k in range(10)]
    np.testing.assert_allclose(found, expected, atol=0.6)


def test_another_drawing_is_another_data_set() -> None:
    identities = {opened(**options).identity for options in ({}, {"seed": 1}, {"tilt": 0}, {"images": 9})}
    assert len(identities) == 4

"""Coloured figures, drawn by sngan itself: a data set that needs no download."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from sngan_cli.contracts import Dataset, Field, Pictures

_DRAWING = 1
"""Version of the drawing: pictures of another one are other pictures."""

Field2d = np.ndarray
Distance = Callable[[Field2d, Field2d], Field2d]
"""Signed distance of points to a figure of radius about 1 around the origin, negative inside."""


class Shapes(Dataset, contract=1):
    """Ten classes of coloured figures at random place, size, angle and background, the same for the same seed."""

    needs_data_dir: ClassVar[bool] = False
    extractor: ClassVar[str] = "shapes-cnn"

    images: int = Field(default=4000, ge=1)
    """Number of pictures, spread evenly over the classes."""
    tilt: float = Field(default=25.0, ge=0, le=180)
    """Figures are turned by up to so many degrees either way; 180 turns them anyhow."""
    seed: int = Field(default=0, ge=0)
    """Seed of the drawing; picture k depends on the seed and k alone."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Draw on demand; nothing is read."""
        return DrawnShapes(self.images, self.tilt, self.seed)

    def default_side(self, pictures: Pictures) -> int:
        """32 pixels."""
        return 32


class DrawnShapes(Pictures):
    """Pictures that are drawn when they are read."""

    identity_covers_code = True  # by _DRAWING

    class_names = (
        "disc", "ring", "square", "triangle", "star", "cross", "heart", "crescent", "bar", "hourglass",
    )  # fmt: skip

    def __init__(self, images: int, tilt: float, seed: int) -> None:
        self._images, self._tilt, self._seed = images, tilt, seed
        self.identity = f"shapes drawing={_DRAWING} tilt={tilt} seed={seed} images={images}"

    def __len__(self) -> int:
        return self._images

    def name(self, index: int) -> str:
        """Number of the picture."""
        return f"shape {index}"

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        """Draw picture `index`: every tenth is of the same class."""
        label = index % len(self.class_names)
        return draw(label, side, self._tilt, np.random.default_rng([self._seed, index])), label


def draw(label: int, side: int, tilt: float, random: np.random.Generator) -> np.ndarray:
    """Draw a figure of class `label` with everything else at random; uint8 (side, side, 3)."""
    radius = random.uniform(0.28, 0.40)
    centre = 0.5 + random.uniform(-1, 1, 2) * (0.46 - radius) * 0.9
    angle = np.deg2rad(tilt) * random.uniform(-1, 1)
    hue = random.uniform()
    figure = _rgb(hue, random.uniform(0.75, 1.0), random.uniform(0.85, 1.0))
    near = _rgb(hue + random.uniform(0.3, 0.7), random.uniform(0.2, 0.6), random.uniform(0.1, 0.4))
    far = near * random.uniform(0.5, 1.5)
    slope = random.uniform(0, 2 * np.pi)

    centres = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centres, centres)
    shade = np.clip(0.5 + (x - 0.5) * np.cos(slope) + (y - 0.5) * np.sin(slope), 0, 1)[..., None]
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    across, along = np.cos(angle) * dx + np.sin(angle) * dy, -np.sin(angle) * dx + np.cos(angle) * dy
    distance = _FIGURES[label](across, along) * radius * side
    cover = np.clip(0.5 - distance, 0, 1)[..., None]  # an edge is one pixel wide
    picture = cover * figure + (1 - cover) * (near + (far - near) * shade)
    return np.clip(np.round(picture * 255), 0, 255).astype(np.uint8)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _disc(x: Field2d, y: Field2d) -> Field2d:
    return np.hypot(x, y) - 0.95


def _ring(x: Field2d, y: Field2d) -> Field2d:
    return np.abs(np.hypot(x, y) - 0.72) - 0.25


def _box(x: Field2d, y: Field2d, width: float, height: float) -> Field2d:
    dx, dy = np.abs(x) - width, np.abs(y) - height
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _square(x: Field2d, y: Field2d) -> Field2d:
    return _box(x, y, 0.75, 0.75)


def _polygon(x: Field2d, y: Field2d, corners: np.ndarray) -> Field2d:
    """Signed distance to a closed polygon (K, 2): distance to the nearest edge, negative where edges wind around."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex**2 + ey**2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - t * ex, y - ay - t * ey))
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < ax + (y - ay) * ex / ey if ey else False)
    return np.where(inside, -nearest, nearest)


def _corners(count: int, radii: tuple[float, ...]) -> np.ndarray:
    turn = np.arange(count) * 2 * np.pi / count - np.pi / 2
    radius = np.resize(np.array(radii), count)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _triangle(x: Field2d, y: Field2d) -> Field2d:
    return _polygon(x, y, _corners(3, (1.1,)))


def _star(x: Field2d, y: Field2d) -> Field2d:
    return _polygon(x, y, _corners(10, (1.15, 0.46)))


def _cross(x: Field2d, y: Field2d) -> Field2d:
    return np.minimum(_box(x, y, 1.0, 0.28), _box(x, y, 0.28, 1.0))


def _heart(x: Field2d, y: Field2d) -> Field2d:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    across = 16 * np.sin(t) ** 3 / 16
    along = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16 - 0.1
    return _polygon(x, y, np.stack([across, along], axis=1))


def _crescent(x: Field2d, y: Field2d) -> Field2d:
    return np.maximum(np.hypot(x, y) - 1.0, 0.78 - np.hypot(x - 0.5, y))


def _bar(x: Field2d, y: Field2d) -> Field2d:
    return _box(x, y, 1.05, 0.26)


def _hourglass(x: Field2d, y: Field2d) -> Field2d:
    upper = np.array([[0.0, 0.0], [-0.8, -0.95], [0.8, -0.95]])
    return np.minimum(_polygon(x, y, upper), _polygon(x, y, -upper))


_FIGURES: tuple[Distance, ...] = (
    _disc, _ring, _square, _triangle, _star, _cross, _heart, _crescent, _bar, _hourglass,
)  # fmt: skip

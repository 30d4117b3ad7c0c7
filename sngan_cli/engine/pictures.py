"""Pictures from arrays: grids, stills and animations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sngan_cli.errors import SnganError

STILL = (".png", ".jpg", ".jpeg", ".webp")
ANIMATED = (".gif", ".webp")
_GAP = 2


def grid(images: np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """Lay out uint8 images (N, H, W, 3) row by row, on white with a narrow gap; each pixel becomes `scale` squared."""
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, dtype=np.uint8)
    for k, image in enumerate(images):
        top, left = (_GAP + (k // columns) * (height + _GAP)), (_GAP + (k % columns) * (width + _GAP))
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two sheets next to one another, a wider gap between them."""
    between = left.width + 4 * _GAP
    sheet = Image.new("RGB", (between + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (between, 0))
    return sheet


def save(picture: Image.Image, path: Path) -> None:
    """Write a still picture; the format follows from the ending."""
    options: dict[str, Any] = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    _write(path, lambda: picture.save(path, **options))


def save_animation(frames: Sequence[Image.Image], path: Path, milliseconds: int = 80) -> None:
    """Write frames as an endless animation that runs to the last frame and back again."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    extra = {"lossless": True} if path.suffix.lower() == ".webp" else {"disposal": 2}
    _write(
        path,
        lambda: there_and_back[0].save(
            path, save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, **extra
        ),
    )


def _write(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise SnganError(f"The picture {str(path)!r} cannot be written: {error.strerror or error}.") from error

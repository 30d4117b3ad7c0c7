"""Pictures from arrays: grids, stills and animations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sngan_cli.errors import SnganError, UsageError
from sngan_cli.outputs import written

STILL = (".png", ".jpg", ".jpeg", ".webp")
ANIMATED = (".gif", ".webp")
_MOST_PIXELS = {".jpg": 65535, ".jpeg": 65535, ".webp": 16383, ".gif": 65535}
"""Pixels that formats can hold in a row or column."""
_LARGEST = 2**28
"""Pixels of a whole picture."""
_GAP = 2
_MILLISECONDS = 80
"""For which an animation shows a frame."""


def grid(images: np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """Lay out uint8 images (N, H, W, 3) row by row, on white with a narrow gap; each pixel becomes `scale` squared."""
    count, height, width = len(images), images.shape[1] * scale, images.shape[2] * scale
    rows = -(-count // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    if math.prod(shape) > _LARGEST:
        raise UsageError(
            f"The picture would be {shape[1]} x {shape[0]} pixels, {_LARGEST} in all are allowed: choose fewer images "
            "or a smaller --scale."
        )
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    sheet = np.full((*shape, 3), 255, dtype=np.uint8)
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
    _write(path, picture.size, lambda partial: picture.save(partial, **options))


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Write frames as an endless animation that runs to the last frame and back again."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    extra = {"lossless": True} if path.suffix.lower() == ".webp" else {"disposal": 2}
    _write(
        path,
        frames[0].size,
        lambda partial: there_and_back[0].save(
            partial, save_all=True, append_images=there_and_back[1:], duration=_MILLISECONDS, loop=0, **extra
        ),
    )


def _write(path: Path, size: tuple[int, int], write: Callable[[Path], None]) -> None:
    """Write a picture, if its format holds so many pixels."""
    most = _MOST_PIXELS.get(path.suffix.lower())
    if most is not None and max(size) > most:
        raise SnganError(
            f"The picture {str(path)!r} would be {size[0]} x {size[1]} pixels, and {path.suffix} holds {most} at most: "
            "choose .png, or fewer images."
        )
    with written(path) as partial:
        write(partial)

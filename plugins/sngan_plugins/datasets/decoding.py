"""From encoded pictures to square RGB arrays."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sngan_cli.contracts import UnreadablePictureError

SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of the files that are taken for pictures, in lower case."""


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by the end of its name."""
    return name.lower().endswith(SUFFIXES)


def decode(content: bytes, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode a picture (the first one of an animation) to uint8 (side, side, 3); says its own size, too.

    It is turned upright, laid on white where it is transparent, cut to the square in its middle, and resized
    bicubically with antialiasing; one that has the right side already keeps its pixels.

    Raises `UnreadablePictureError`.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            _check_pixels(picture)
            return np.asarray(fit(to_rgb(ImageOps.exif_transpose(picture)), side)), picture.size
    except UnreadablePictureError:
        raise
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        raise _unreadable(error) from error


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of a picture, from its header; raises `UnreadablePictureError`."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            _check_pixels(picture)
            return picture.size
    except Exception as error:
        raise _unreadable(error) from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Bring a picture of any mode to RGB: 16-bit grey by its range, transparency on white."""
    if picture.mode == "F":
        raise UnreadablePictureError("its levels are floating-point numbers, whose range nothing tells")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        levels = np.asarray(picture)
        if picture.mode != "I" or levels.max() > 255:  # 32 bits may hold levels of 8
            levels = np.round(levels / 257)  # 65535 becomes 255; Pillow would clip at 255
        return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def fit(picture: Image.Image, side: int) -> Image.Image:
    """Cut an RGB picture to the square in its middle and resize it to `side` pixels."""
    if picture.size == (side, side):
        return picture
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)


def _check_pixels(picture: Image.Image) -> None:
    """Refuse what Pillow only warns of: it raises an error at twice its limit."""
    if Image.MAX_IMAGE_PIXELS is not None and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{picture.width} x {picture.height} pixels")


def _unreadable(error: Exception) -> UnreadablePictureError:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadablePictureError(f"it is far too large, like a decompression bomb ({error})")
    if isinstance(error, UnidentifiedImageError):  # its own message holds an address in memory
        return UnreadablePictureError("it is in no picture format that is known, or damaged")
    return UnreadablePictureError(f"{type(error).__name__}: {error}")

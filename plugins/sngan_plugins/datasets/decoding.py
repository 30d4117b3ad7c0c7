"""From encoded pictures to square RGB arrays."""

from __future__ import annotations

import io
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from sngan_cli.contracts import UnreadablePictureError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def decode(content: bytes | BinaryIO, side: int) -> np.ndarray:
    """Decode a picture to uint8 (side, side, 3).

    It is turned upright, laid on white where it is transparent, cut to the square in its middle, and resized
    bicubically with antialiasing; one that has the right side already keeps its pixels.

    Raises `UnreadablePictureError`.
    """
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF data; the pixels decide
            with Image.open(source) as picture:
                upright = ImageOps.exif_transpose(picture)
                return np.asarray(fit(to_rgb(upright), side))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePictureError(f"it is a decompression bomb or far too large ({error})") from error
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        raise UnreadablePictureError(f"{type(error).__name__}: {error}") from error


def size_of(content: bytes | BinaryIO) -> tuple[int, int]:
    """Width and height of a picture, from its header; raises `UnreadablePictureError`."""
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as picture:
                return picture.size
    except Exception as error:
        raise UnreadablePictureError(f"{type(error).__name__}: {error}") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Bring a picture of any mode to RGB: 16-bit grey by its range, transparency on white."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        levels = np.asarray(picture).astype(np.float64) / 257
        return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        return Image.fromarray(np.clip(np.round(np.asarray(picture)), 0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def fit(picture: Image.Image, side: int) -> Image.Image:
    """Cut an RGB picture to the square in its middle and resize it to `side` pixels."""
    if picture.size == (side, side):
        return picture
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)


def is_picture(name: str) -> bool:
    """Whether a file's ending says that it is a picture, and it is not hidden."""
    base = name.rsplit("/", 1)[-1]
    return not base.startswith(".") and base.lower().endswith(SUFFIXES)


def known_suffixes() -> str:
    """The endings of pictures, for a message."""
    return ", ".join(suffix.removeprefix(".") for suffix in SUFFIXES)

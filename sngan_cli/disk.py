"""What makes files last, and what tells that they have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

_PART = 2**22
"""Bytes that are read at once."""


def flush(path: Path) -> None:
    """Have the system write a file, or the entries of a folder, to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fault_of(
    path: Path, size: int, sha256: str, digest: Callable[[Path], str] | None, *, known_as: str = "written"
) -> str | None:
    """How a file differs from what it was known as, by its size and SHA-256; None where it does not.

    `digest` takes the SHA-256 of a file; without it, the size has to do.
    """
    if not path.is_file():
        return "the file is missing"
    if path.stat().st_size != size:
        return f"it has {path.stat().st_size} bytes, {known_as} were {size}"
    if digest is not None and (found := digest(path)) != sha256:
        return f"its SHA-256 is {found[:12]}..., {known_as} was {sha256[:12]}..."
    return None


def sha256_of(path: Path, report: Callable[[int], object] = lambda size: None) -> str:
    """SHA-256 of a file's content in hexadecimal; `report` is told the size of each part that has been read."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            found.update(part)
            report(len(part))
    return found.hexdigest()

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


def sha256_of(path: Path, report: Callable[[int], object] = lambda size: None) -> str:
    """SHA-256 of a file's content in hexadecimal; `report` is told the size of each part that has been read."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            found.update(part)
            report(len(part))
    return found.hexdigest()

"""What makes files last."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Have the system write a file, or the entries of a folder, to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

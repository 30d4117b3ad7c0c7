"""Files that last: flushed to the disk, compared with what was written, and moved in one step."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sngan_cli.errors import SnganError

_PART = 2**22
"""Bytes that are read at once."""

_HERE, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux: paths are as they are given, and both are to stay."""

_WAY_OUT = {
    errno.ENOTEMPTY: "move {target} out of the way first",
    errno.EXDEV: "they are on two disks: make {folder} a link to a folder on the disk of {source}",
    errno.ENOSPC: "make room on the disk",
}


def flush(path: Path) -> None:
    """Have the system write a file, or the entries of a folder, to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Give two files or folders each other's name in one step; False where the system or its file system cannot."""
    rename = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def sweep(folder: Path) -> None:
    """Remove what is called `.NAME.partial` there and was left by processes that were killed more than a day ago."""
    for leftover in folder.glob(".*.partial"):
        with suppress(OSError):
            if time.time() - leftover.lstat().st_mtime > 86_400:
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()


def mark_used(path: Path) -> None:
    """Set the time of something that is cached to now: `sngan runs gc --cache` deletes what is not used for long."""
    with suppress(OSError):
        os.utime(path)


def move(source: Path, target: Path) -> Path:
    """Move a folder in one step, and say where it is then; raises `SnganError` where it cannot be moved, and stays."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return source.rename(target)
    except OSError as error:
        way_out = _WAY_OUT.get(error.errno or 0, "check that you may write both folders")
        remedy = way_out.format(source=source, target=target, folder=target.parent)
        raise SnganError(f"The folder {source} cannot be moved to {target}: {error.strerror}; {remedy}.") from error


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

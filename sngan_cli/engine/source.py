"""What code stands behind what is kept: another one's results are not to be taken for this one's."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def source_sha256(kind: type) -> str:
    """SHA-256 of a class's name and of all code of its package, in which it may have what it needs in any file."""
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}".encode())
    for path in sorted(_files(kind)):
        with suppress(OSError):  # a link to nowhere is no code
            digest.update(b"\0" + os.fsencode(path.name) + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _files(kind: type) -> Iterator[Path]:
    """The files of a class's package, or the one that it is written in; none where that is at a prompt."""
    folders = getattr(sys.modules.get(kind.__module__.partition(".")[0]), "__path__", ())
    for folder in folders:
        yield from Path(folder).rglob("*.py")
    if not folders:
        with suppress(OSError, TypeError):
            yield Path(inspect.getsourcefile(kind) or "")

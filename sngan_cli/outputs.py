"""Files that a command is asked to write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sngan_cli.errors import SnganError, UsageError


def check_output(path: Path, formats: Sequence[str] = ()) -> None:
    """Raise `UsageError` where a file, of one of the formats if any, cannot be written, before work is done for it.

    Nothing is made for it yet: what the work needs may not be there.
    """
    if formats and path.suffix.lower() not in formats:
        raise UsageError(
            f"The output {str(path)!r} has no known ending: use one of {', '.join(dict.fromkeys(formats))}."
        )
    try:
        if path.is_dir():
            raise UsageError(f"The output {str(path)!r} is a folder: name a file in it.")
        nearest = next((folder for folder in path.parents if folder.exists()), path.parent)
        with path.open("ab") if path.exists() else tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(f"The output {str(path)!r} cannot be written: {error.strerror}. Choose another.") from error


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Context of writing a file, which gives another beside it to write to: where that fails, what was there stays.

    Folders on the way to it are made. Raises `SnganError`.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise SnganError(f"The output {str(path)!r} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            partial.unlink()

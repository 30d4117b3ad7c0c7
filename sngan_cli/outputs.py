"""Files that a command is asked to write."""

from __future__ import annotations

import os
import shutil
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
    place = _followed(path)
    try:
        if place.is_dir():
            raise UsageError(f"The output {str(path)!r} is a folder: name a file in it.")
        with tempfile.TemporaryFile(dir=next(folder for folder in place.parents if folder.exists())):
            pass
        if place.exists():
            with place.open("ab"):
                pass
    except OSError as error:
        raise UsageError(f"The output {str(path)!r} cannot be written: {error.strerror}. Choose another.") from error


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Context of writing a file, which gives another beside it to write to: where that fails, what was there stays.

    Folders on the way to it are made, links are followed, and a file that was there keeps its permissions. Raises
    `SnganError`.
    """
    place = _followed(path)
    partial = place.with_name(f".{os.getpid()}{path.suffix}")  # no longer than the name itself may be
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if place.exists():
            shutil.copymode(place, partial)
        partial.replace(place)
    except OSError as error:
        raise SnganError(f"The output {str(path)!r} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _followed(path: Path) -> Path:
    return Path(os.path.realpath(path))

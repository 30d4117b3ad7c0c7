"""Files that a command is asked to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sngan_cli.errors import UsageError


def check_output(path: Path, formats: Sequence[str] = ()) -> None:
    """Raise `UsageError` where a file, of one of the formats if any, cannot be written, before work is done for it.

    Folders on the way to it are made.
    """
    if formats and path.suffix.lower() not in formats:
        raise UsageError(
            f"The output {str(path)!r} has no known ending: use one of {', '.join(dict.fromkeys(formats))}."
        )
    if path.is_dir():
        raise UsageError(f"The output {str(path)!r} is a folder: name a file in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(f"The output {str(path)!r} cannot be written: {error.strerror}. Choose another.") from error

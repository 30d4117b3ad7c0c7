"""`$SNGAN_HOME`, or the user's data folder where that is not set, and what lies in it beside the registry."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder under which everything lies. Asking for it creates nothing.

    Raises `UsageError` where it, or what it would lie in, is a file: nothing can be in there, and nothing be read.
    """
    chosen = os.environ.get("SNGAN_HOME")
    if not chosen:
        from platformdirs import user_data_path

        return user_data_path("sngan")
    folder = expanded(chosen).absolute()
    if (there := next(path for path in (folder, *folder.parents) if path.exists())).is_dir():
        return folder
    from sngan_cli.errors import UsageError

    raise UsageError(f"SNGAN_HOME is {chosen!r}, and {there} is a file: set it to a folder.")


def expanded(path: str | Path) -> Path:
    """A path, ~ and ~user in its beginning replaced; raises `UsageError` where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        from sngan_cli.errors import UsageError

        raise UsageError(
            f"{str(path)!r} begins with the home of a user who is not there: write ~/ for your own."
        ) from None


def real_path(path: str | Path) -> Path:
    """Where a path leads, from the root on; one that links to itself leads nowhere, to a path that does not exist."""
    return Path(os.path.realpath(expanded(path)))  # Path.resolve raises RuntimeError on such a loop


def extractors_folder() -> Path:
    """Extractors that were trained here, one folder each."""
    return home() / "extractors"


def trash_folder() -> Path:
    """What was removed or replaced, until the user empties it."""
    return home() / "trash"

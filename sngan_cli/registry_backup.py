"""Copies of the registry, and room for another in its place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sngan_cli import paths
from sngan_cli.bars import progress
from sngan_cli.errors import NotFoundError, UsageError
from sngan_cli.outputs import check_output
from sngan_registry.backup import back_up, move_aside, unused
from sngan_registry.database import registry_url, sqlite_file
from sngan_registry.soundness import examine

_TOOLS = {
    "postgresql": "pg_dump --format=custom --file=FILE DATABASE",
    "mysql": "mysqldump --single-transaction --result-file=FILE DATABASE",
}


def back_up_registry(target: Path | None) -> Path:
    """Copy the registry to a new file, by default beside it; returns its path.

    Raises `NotFoundError` where there is none, and `UsageError` where it is no file or `target` cannot be new.
    """
    path = _file()
    if not path.is_file():
        raise NotFoundError(f"There is no registry {path} yet, so none to copy.")
    target = target or unused(path, f"backup-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")  # others may make one, too
    if target.exists():
        raise UsageError(f"{target} exists already: name a new file.")
    check_output(target)
    with progress("copying the registry") as report:
        return back_up(path, target, report)


def damage() -> str | None:
    """What is wrong with the database, in a few words; None where it is sound or not there.

    Raises `UsageError` where something is, and the database is no file that `make_room` can move.
    """
    with progress("reading the registry") as report:
        faults = examine(paths.registry_place(), report).faults
    if not faults:
        return None
    _file()
    first = ": ".join(filter(None, (faults[0].where, faults[0].what)))
    return first if len(faults) == 1 else f"{first}, and {len(faults) - 1} more"


def make_room() -> Path:
    """Move a damaged registry aside, so that another can take its place; returns where it lies then."""
    return move_aside(_file())


def _file() -> Path:
    """The file of the registry; raises `UsageError` where it is on a server."""
    url = registry_url(paths.registry_place())
    path = sqlite_file(url)
    if path is None:
        tool = _TOOLS.get(url.get_backend_name())
        way_out = f"its own tool, such as `{tool}`" if tool else "its own tools"
        raise UsageError(
            f"The registry {paths.registry_name()} is no SQLite file: back it up, and restore it, with {way_out}."
        )
    return path

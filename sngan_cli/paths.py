"""Where runs are recorded, and where their files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sngan_cli.home import home, trash_folder

if TYPE_CHECKING:
    from sngan_registry import Store


@dataclass(frozen=True)
class Place:
    """Where runs are recorded, and where their files and the decoded and downloaded data lie."""

    store: Store
    runs: Path
    cache: Path


def place(store: Store) -> Place:
    """The place of runs that `store` records."""
    return Place(store, runs_folder(), cache_folder())


def registry_place() -> str:
    """The registry: a SQLAlchemy URL or a file. `--registry` sets SNGAN_REGISTRY for its own command."""
    return os.environ.get("SNGAN_REGISTRY") or str(home() / "registry.db")


def registry_name() -> str:
    """The registry as it may be shown: a file, or a URL without its password."""
    from sngan_registry.database import label, registry_url

    return label(registry_url(registry_place()))


def nothing_in(store: Store, what: str) -> str:
    """Say, as the beginning of a sentence, that a registry holds none of `what` (a plural), or is not even there."""
    lacking = "is no registry" if store.revision is None else f"are no {what} in"
    return f"There {lacking} {registry_name()} yet"


def runs_folder() -> Path:
    """Checkpoints and pictures, one folder a run."""
    return home() / "runs"


def trashed_runs_folder() -> Path:
    """The folders of removed runs, one each."""
    return trash_folder() / "runs"


def cache_folder() -> Path:
    """Decoded pictures, downloads and weights: whatever can be made again."""
    return home() / "cache"


def open_store(*, create: bool) -> Store:
    """Open the registry; without `create` a registry that does not exist yet reads as empty."""
    from sngan_cli.errors import UsageError
    from sngan_registry import Store
    from sngan_registry.database import registry_url, sqlite_file

    place = registry_place()
    if create and (path := sqlite_file(registry_url(place))):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder {path.parent} cannot be made: {error.strerror}. Set SNGAN_HOME to one that can."
            ) from error
    return Store.open(place, create=create)

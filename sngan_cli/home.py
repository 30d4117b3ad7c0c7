"""`$SNGAN_HOME`, or the user's data folder where that is not set, and what lies in it beside the registry."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder under which everything lies. Asking for it creates nothing."""
    chosen = os.environ.get("SNGAN_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("sngan")


def extractors_folder() -> Path:
    """Extractors that were trained here, one folder each."""
    return home() / "extractors"


def trash_folder() -> Path:
    """What was removed or replaced, until the user empties it."""
    return home() / "trash"

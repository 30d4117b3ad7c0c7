"""What the user calls a run: its name, note and tags."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sngan_cli import console, paths
from sngan_cli.errors import UsageError
from sngan_cli.wording import first_of, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sngan_registry import Run, Store

LONGEST = 255
"""Letters of a name or tag at most."""


@dataclass(frozen=True)
class Labels:
    """What the user calls a run."""

    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()


def check_name(text: str, given_as: str) -> None:
    """Raise `UsageError` where a run cannot be called so; messages say where the text was given, such as `--name`."""
    from sngan_registry.ids import is_run_id

    check_label(text, given_as)
    if is_run_id(text.lower()):
        raise UsageError(f"{given_as} {text} could be the id of a run: choose another.")
    if text.startswith("@"):
        raise UsageError(f"{given_as} {text}: names that begin with @ stand for runs such as @last: choose another.")


def warn_of_namesakes(store: Store, name: str | None, warn: Callable[[str], None], but: str = "") -> None:
    """Say which runs, `but` the one that is given a name, have it already: it finds none of them any more."""
    if others := [run.id for run in store.named(name or "") if run.id != but]:
        warn(
            f"{name!r} is already the name of run {first_of(others)}: from now on only their ids tell these runs apart."
        )


def check_label(text: str, given_as: str) -> None:
    """Raise `UsageError` where a tag, or a name of pictures, cannot be recorded."""
    if not text.strip():
        raise UsageError(f"{given_as} {text!r} is empty.")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise UsageError(
            f"{given_as} {shortened(text)!r} holds control characters, such as line breaks: leave them out."
        )
    if len(text) > LONGEST:
        raise UsageError(f"{given_as} {text[:20]}... has {len(text)} letters: {LONGEST} are allowed.")
    check_note(text, given_as)


def check_note(text: str, given_as: str) -> None:
    """Raise `UsageError` where a text cannot be recorded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{given_as} {text!r} is no valid Unicode and could not be recorded.") from None
    if any(unicodedata.category(letter) == "Cc" and letter not in "\n\t" for letter in text):
        raise UsageError(
            f"{given_as} {shortened(text)!r} holds control characters, which a terminal would obey: leave them out."
        )


def relabel(
    store: Store,
    run: Run,
    *,
    name: str | None = None,
    note: str | None = None,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
) -> Run:
    """Change labels of a run, in the registry and in what its folder says of it; returns the run as it is then."""
    from sngan_cli.run_folder import describe_folder

    store.update(run.id, name=name, note=note, add_tags=add_tags, remove_tags=remove_tags)
    folder = paths.runs_folder() / run.id
    if folder.is_dir():
        describe_folder(store, run.id, folder, console.warn)
    return store.run(run.id)

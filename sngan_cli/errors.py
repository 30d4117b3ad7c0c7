"""What can go wrong in the program, each with its exit code.

Every message is one or two lines: what was wrong, with what value, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from sngan_cli.wording import shortened


class SnganError(Exception):
    """Any failure that is explained to the user instead of shown as a traceback (exit code 1)."""

    exit_code = 1


class UsageError(SnganError):
    """The command was given something it cannot use: a value, or things that do not go together (exit code 2)."""

    exit_code = 2


class NotFoundError(UsageError):
    """What was named does not exist, or several bear the name: a run, component, class, file ... (exit code 3)."""

    exit_code = 3


class ComponentError(SnganError):
    """A plugin cannot be loaded or cannot do what was asked of it (exit code 1)."""


class DataError(SnganError):
    """A data set is missing, empty or damaged (exit code 1)."""


class WeightsUnavailableError(ComponentError):
    """An extractor's weights can neither be found nor fetched; training goes on without a score."""


class CheckpointError(SnganError):
    """A checkpoint cannot be written or read back intact (exit code 1)."""


class UncompiledError(SnganError):
    """torch cannot compile the networks (exit code 1)."""


class LostProcessError(SnganError):
    """One of the processes that train a run together is gone (exit code 1)."""


class UnscoredError(SnganError):
    """What was to be scored could not be, or not by every metric; all else is done and recorded (exit code 1)."""


class DivergedError(SnganError):
    """Training produced NaN or infinity (exit code 5)."""

    exit_code = 5


DIVERGED = "Training diverged"
"""How the message of a run's `DivergedError` begins, which the registry keeps as the reason of its failure."""


def is_divergence(reason: str | None) -> bool:
    """Whether a run's recorded reason to fail is that it diverged."""
    return (reason or "").startswith(DIVERGED)


def no_such(what: str, word: str, known: Iterable[str]) -> str:
    """Say that there is no `what` called `word`, and which known ones may be meant."""
    return f"There is no {what} {shortened(word)!r}.{did_you_mean(word, known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Say which known words are near `word`, or list them, a hundred at most, where none is; starts with a space."""
    candidates = sorted(set(known))
    if near := nearest(word, candidates):
        return near
    if not candidates:
        return " None is known."
    others = f" and {len(candidates) - 100} others" if len(candidates) > 100 else ""
    return f" Known: {', '.join(candidates[:100])}{others}."


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Say which known words are near `word`, if any are as near as the cutoff (0 to 1); starts with a space."""
    near = get_close_matches(word, sorted(set(known)), n=3, cutoff=cutoff)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""

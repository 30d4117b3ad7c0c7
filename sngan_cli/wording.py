"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 step`, `2 steps`; `plural` is given where that is not the noun and an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def first_line(error: BaseException) -> str:
    """What an error says before it goes into detail."""
    return str(error).strip().partition("\n")[0]

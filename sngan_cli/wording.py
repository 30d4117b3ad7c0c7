"""Words of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 step`, `2 steps`; `plural` is given where that is not the noun and an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def complaint(error: ValidationError) -> str:
    """What pydantic has against a value, the first one that it refuses, as the end of a sentence."""
    message = error.errors()[0]["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{message[0].lower()}{message[1:]}"


def first_line(error: BaseException) -> str:
    """What an error says before it goes into detail."""
    return str(error).strip().partition("\n")[0]

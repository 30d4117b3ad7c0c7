"""Words of messages."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 step`, `2 steps`; `plural` is given where that is not the noun and an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def steps_in_words(steps: Sequence[int]) -> str:
    """Steps in order, of which there is one at least: `step 2`, `steps 50 to 340`."""
    return f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"


def sized(size: int) -> str:
    """A number of bytes in words: `512 bytes`, `1.5 KiB`, `104.0 MiB`."""
    power = min(max(size.bit_length() - 1, 0) // 10, 4)
    return f"{size / 1024**power:.1f} {'_KMGT'[power]}iB" if power else counted(size, "byte")


def shortened(text: str) -> str:
    """A text as it is, or where it is longer than 60 letters its beginning with an ellipsis."""
    return text if len(text) <= 60 else f"{text[:60]}…"


_ORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of characters that reorder what follows them."""


def printable(text: str, but: str = "") -> str:
    """A text with escapes for what is no Unicode and for what terminals obey, `but` these: controls, also of order."""

    def is_obeyed(letter: str) -> bool:
        return unicodedata.category(letter) in ("Cc", "Cs") or unicodedata.bidirectional(letter) in _ORDERING

    return "".join(ascii(letter)[1:-1] if letter not in but and is_obeyed(letter) else letter for letter in text)


def escaped(text: str, letters: str) -> str:
    """A text with white space and these letters written in percent, as `urllib.parse.unquote` reads them again."""
    return "".join(quote(letter, safe="") if letter.isspace() or letter in letters else letter for letter in text)


def first_of(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def joined(*parts: str) -> str:
    """Parts of a line of progress, without those that are empty."""
    return "  ".join(filter(None, parts))


def losses_in_words(losses: Mapping[str, float]) -> str:
    """The losses of both networks, nothing where one of them is not known."""
    if not {"loss_d", "loss_g"} <= losses.keys():
        return ""
    return f"loss D {losses['loss_d']:.3f} G {losses['loss_g']:+.3f}"


def finished(run_id: str, step: int, score: str) -> str:
    """That a run is trained to its end, with its last score in words, if it has one."""
    said = f", {score}" if score else ""
    return f"finished {counted(step, 'step')}{said}. See it with: sngan runs show {run_id}"


def complaint(error: ValidationError) -> str:
    """What pydantic has against a value, the first one that it refuses, as the end of a sentence."""
    message = error.errors()[0]["msg"].removeprefix("Value error, ").partition(", unable to parse")[0].rstrip(".")
    return f"{message[0].lower()}{message[1:]}"


def refused(error: ValidationError) -> str:
    """The first value that pydantic refuses, and why, as the end of a sentence and its full stop."""
    return f"{shortened(repr(error.errors()[0]['input']))} cannot be used: {complaint(error)}."


def first_line(error: BaseException) -> str:
    """What an error says before it goes into detail."""
    return str(error).strip().partition("\n")[0]

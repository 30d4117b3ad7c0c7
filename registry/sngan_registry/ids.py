"""Run ids: eleven characters, sortable in time, safe in file names and easy to read aloud.

Nine characters count milliseconds since 1970 (enough until the year 3084) and two are random, so that runs begun in the
same millisecond differ. The alphabet is Crockford's base 32, lower case: no i, l, o or u.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS = 9
_RANDOM_CHARACTERS = 2

RUN_ID_LENGTH = _TIME_CHARACTERS + _RANDOM_CHARACTERS


def is_run_id(text: str) -> bool:
    """Say whether a text is an id as `new_run_id` makes them."""
    return len(text) == RUN_ID_LENGTH and set(text) <= set(_ALPHABET)


def time_of(run_id: str) -> datetime:
    """When the run was created that has this id, to the millisecond."""
    number = 0
    for character in run_id[:_TIME_CHARACTERS]:
        number = number * len(_ALPHABET) + _ALPHABET.index(character)
    return datetime.fromtimestamp(number / 1000, UTC)


def new_run_id(created: datetime) -> str:
    """Make an id for a run created then; ids of different milliseconds sort as their times do."""
    number = int(created.timestamp() * 1000)
    characters = []
    for _ in range(_TIME_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join([*reversed(characters), *(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))])

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from sngan_registry import ids


def test_an_id_is_the_time_in_base_32_and_two_random_characters() -> None:
    # 1 767 312 000 000 ms = 1*32^8 + 19*32^7 + 13*32^6 + 30*32^5 + 0*32^4 + 2*32^3 + 1*32^2
    created = datetime(2026, 1, 2, tzinfo=UTC)
    assert re.fullmatch(r"1kdy02100[0-9a-hjkmnp-tv-z]{2}", ids.new_run_id(created))


@pytest.mark.parametrize("later", [timedelta(milliseconds=1), timedelta(hours=1), timedelta(days=365 * 900)])
def test_ids_sort_in_time(later: timedelta) -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = ids.new_run_id(created), ids.new_run_id(created + later)
    assert len(first) == len(second) == ids.RUN_ID_LENGTH == 11
    assert first < second


def test_ids_of_one_moment_differ() -> None:
    created = datetime(2026, 1, 2, tzinfo=UTC)
    assert len({ids.new_run_id(created) for _ in range(64)}) > 32

"""What a command that scores says in the end of what went wrong."""

from __future__ import annotations

import pytest

from sngan_cli.errors import UnscoredError
from sngan_cli.scoring import Scores


def test_metrics_are_named_by_reason_and_the_first_error_is_the_cause() -> None:
    first, second = ArithmeticError("no such thing"), OSError("nothing there")
    scores = Scores()
    scores.check_all()
    scores.unscored(" of step 2")("fid", first)
    scores.unscored(" of step 4")("is", first)
    scores.unscored()("kid", second)
    with pytest.raises(UnscoredError) as raised:
        scores.check_some()
    by_reason = str(raised.value).splitlines()
    assert [line.partition(". ")[0] for line in by_reason] == [
        "Not scored: fid of step 2, is of step 4",
        "Not scored: kid",
    ]
    assert ("no such thing" in by_reason[0], "nothing there" in by_reason[1]) == (True, True)
    assert raised.value.__cause__ is first

"""Stretches of curves in which something held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from statistics import pstdev

from sngan_cli.diagnosis.history import History
from sngan_cli.diagnosis.scores import is_better
from sngan_cli.diagnosis.thresholds import ENOUGH, LONG, PINNED, WINDOW
from sngan_cli.diagnosis.words import number, value_of


@dataclass(frozen=True)
class Stretch:
    """A part of a curve: its first and last step, and its values."""

    since: int
    until: int
    values: Sequence[float]


def running_means(values: Sequence[float]) -> list[float]:
    """Means over windows of values, one for each place of the window."""
    width = window_of(values)
    sums = [0.0, *accumulate(values)]
    return [(end - start) / width for start, end in zip(sums, sums[width:], strict=False)]


def window_of(values: Sequence[float]) -> int:
    """Width of the window over which values are smoothed."""
    return max(1, len(values) // WINDOW)


def stretch_where(
    curve: Sequence[tuple[int, float]], of: Callable[[float], float], inside: Callable[[float], bool]
) -> Stretch | None:
    """Where the running mean of `of` the values is `inside` for long; None where it nowhere is.

    Of several such stretches the one that lasts to the end, else the longest.
    """
    values = [value for _, value in curve]
    found: list[tuple[int, int]] = []
    end = 0
    for is_inside, group in groupby(map(inside, running_means([of(value) for value in values]))):
        begin, end = end, end + len(list(group))
        if is_inside:
            found.append((begin, end - 1 + window_of(values)))
    found = [(a, b) for a, b in found if (b - a) * LONG >= len(curve)]
    if not found:
        return None
    a, b = max(found, key=lambda ab: (ab[1] == len(curve), ab[1] - ab[0]))
    a = next((k for k in range(a, b) if inside(of(values[k]))), a)  # the first mean reaches back to where it began
    return Stretch(curve[a][0], curve[b - 1][0], values[a:b])


def beaten_stretch(history: History) -> Stretch | None:
    """Where the mean of D's loss stands at its blind value or above."""
    curve, blind = history.curve("loss_d"), history.blind
    if blind is None or blind <= 0 or len(curve) < ENOUGH:
        return None
    return stretch_where(curve, lambda value: value, lambda mean: mean > (1 - PINNED) * blind)


def scores_within(history: History, stretch: Stretch) -> tuple[bool | None, str]:
    """Whether any score became better within a stretch (None where it cannot be told), and how they did not."""
    series = [[s for s in scores if stretch.since <= s.step <= stretch.until] for scores in history.qualities()]
    series = [scores for scores in series if len(scores) > 1]
    if not series:
        return None, ""
    if any(is_better(scores[-1], scores[0]) for scores in series):
        return True, ""
    first, last = series[0][0], series[0][-1]
    went = "fell" if is_better(first, last) else "grew no better"
    ends = f"from {value_of(first)} at step {first.step} to {value_of(last)} at step {last.step}"
    return False, f", and `{first.metric}` {went}, {ends}"


def loss_g_within(history: History, stretch: Stretch) -> tuple[bool | None, str]:
    """What G's loss says, where there are no scores: False and how it rose, or None."""
    values = [value for step, value in history.curve("loss_g") if stretch.since <= step <= stretch.until]
    early, late = values[: len(values) // 3], values[-(len(values) // 3) :]
    if not early or average(late) - average(early) <= max(pstdev(early), pstdev(late)):
        return None, ""
    return (
        False,
        f", and G's loss kept rising, from {number(average(early))} to {number(average(late))} (means of a third each)",
    )


def average(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)

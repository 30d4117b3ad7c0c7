"""Scores of a run, and the checkpoints that have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sngan_cli.diagnosis.history import History
from sngan_cli.diagnosis.thresholds import ERRORS, FRACTIONS, MARGIN
from sngan_cli.diagnosis.words import like, value_of
from sngan_registry import Score


def best_of(scores: Sequence[Score]) -> Score:
    """The best of comparable scores, the later of two equal ones."""
    return max(scores, key=lambda s: (s.merit, s.step))


def is_better(one: Score, other: Score) -> bool:
    """Whether a score is better than another by more than their spread, and by more than a margin."""
    gain = one.merit - other.merit
    spread = _deviation(one) + _deviation(other)
    return gain > max(spread, MARGIN * max(abs(one.value), abs(other.value)))


def better_meanwhile(history: History, since: Score, last: Score) -> list[tuple[Score, Score]]:
    """Scores of two checkpoints by other metrics, by which the later one is better: of each metric both scores."""
    found: dict[str, tuple[Score, Score]] = {}
    for scores in history.qualities():
        if scores[0].metric == last.metric:
            continue
        at = {score.step: score for score in scores if score.generator_weights == last.generator_weights}
        if {since.step, last.step} <= at.keys() and is_better(now := at[last.step], then := at[since.step]):
            found.setdefault(now.metric, (then, now))
    return list(found.values())


def _deviation(score: Score) -> float:
    """How far a score may be off: its standard deviation, or of a fraction of images what follows from their number."""
    images = score.evidence.get(FRACTIONS.get(score.metric, ""))
    if score.std is not None or not images:
        return score.std or 0.0
    return ERRORS * math.sqrt(max(0.0, score.value * (1 - score.value)) / images)


def checkpoint_to_use(history: History, scores: Sequence[Score]) -> tuple[int | None, str]:
    """The step of the best checkpoint that is left by these scores, and how to use it."""
    on_disk = steps_on_disk(history)
    there = [score for score in scores if score.step in on_disk]
    best = best_of(there) if there else None
    decay = ["--lr-decay linear"] if history.run.config.get("lr_decay") == "none" else []
    if best is None or best.step == scores[-1].step:
        anew = f"Train anew and keep them: {like(history, '--set keep_every=1', *decay)}."
        return None, f"No checkpoint that scored better is left on disk. {anew}"
    which = "best" if best.step == history.best_step else str(best.step)
    is_best = best.step == best_of(scores).step
    left = "" if is_best else f" (step {best.step}, {value_of(best)}: the best that is left on disk)"
    steadier = f" A rate that falls keeps more of it: {like(history, *decay)}." if decay else ""
    return best.step, f"Draw with `--checkpoint {which}`{left}.{steadier}"


def steps_on_disk(history: History) -> set[int]:
    """Steps of the checkpoints that are on disk."""
    return {c.step for c in history.checkpoints if c.deleted is None}

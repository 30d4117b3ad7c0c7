"""Scores of a run, and the checkpoints that have them."""

from __future__ import annotations

from collections.abc import Sequence

from sngan_cli.diagnosis.history import History
from sngan_cli.diagnosis.thresholds import MARGIN
from sngan_cli.diagnosis.words import like, value_of
from sngan_registry import Score


def best_of(scores: Sequence[Score]) -> Score:
    """The best of comparable scores, the later of two equal ones."""
    return max(scores, key=lambda s: (s.merit, s.step))


def is_better(one: Score, other: Score) -> bool:
    """Whether a score is better than another by more than their spread, and by more than a margin."""
    gain = one.merit - other.merit
    spread = (one.std or 0.0) + (other.std or 0.0)
    return gain > max(spread, MARGIN * max(abs(one.value), abs(other.value)))


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

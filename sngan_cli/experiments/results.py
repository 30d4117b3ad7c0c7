"""What came of the cases of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from sngan_cli.experiments.experiment import Case
from sngan_registry import Run, Score, Store


def best_of(scores: Sequence[Score]) -> Score:
    """The best of scores of one metric."""
    return max(scores, key=lambda score: score.value if score.higher_is_better else -score.value)


def scores_of(store: Store, run: Run, case: Case) -> list[str]:
    """Best and last score of each of a run's metrics, beside what was published."""
    found = store.scores(run.id)
    said = []
    for metric in dict.fromkeys(score.metric for score in found):
        of_metric = [score for score in found if score.metric == metric]
        best, last = best_of(of_metric), max(of_metric, key=lambda score: score.step)
        published = f", published {case.published[metric]:.3f}" if metric in case.published else ""
        said.append(f"{metric} {best.value:.3f} at best (step {best.step}), {last.value:.3f} at last{published}")
    return said

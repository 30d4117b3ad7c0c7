"""What came of the cases of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from sngan_cli.catalog import Catalog
from sngan_cli.comparison import metrics_of
from sngan_cli.composition import compose
from sngan_cli.config import Layer, flat, united
from sngan_cli.errors import NotFoundError
from sngan_cli.experiments.experiment import Case, Experiment
from sngan_cli.experiments.plan import conditions_of_run, series_tags
from sngan_cli.plots import Curves
from sngan_cli.wording import counted
from sngan_registry import Run, Score, Status, Store, best_of

_ORDER = (Status.FINISHED, Status.RUNNING, Status.INTERRUPTED, Status.LOST, Status.FAILED, Status.QUEUED)


@dataclass(frozen=True)
class Result:
    """A case and its runs, one a seed, all of the same settings otherwise."""

    case: Case
    runs: tuple[Curves, ...]
    intended: Mapping[str, Any]
    """The case's settings as the experiment has them, without overrides; those of both networks have both names."""

    def setting(self, key: str) -> Any:
        """A setting as the runs have it, or where there is none as the experiment does; None where neither does."""
        if not self.runs:
            return self.intended.get(key)
        config = flat(self.runs[0].run.config)
        return config.get(key, united(config).get(key))

    def scores(self, metric: str, *, last: bool = False) -> list[Score]:
        """The best (or last) score of each run that has some."""
        found = [[score for score in curves.scores if score.metric == metric] for curves in self.runs]
        return [max(scores, key=lambda s: s.step) if last else best_of(scores) for scores in found if scores]


def conditions_of(experiment: Experiment, results: Sequence[Result]) -> list[str]:
    """The settings that change from case to case in fact: overrides may have made some the same in all."""
    keys = dict.fromkeys("steps" if key == "epochs" else key for key in experiment.conditions())
    return [key for key in keys if len({repr(result.setting(key)) for result in results}) > 1]


def mean_and_deviation(scores: Sequence[Score]) -> tuple[float, float | None]:
    """Mean over runs, and their standard deviation (of the sample) where there are several."""
    values = [score.value for score in scores]
    return mean(values), stdev(values) if len(values) > 1 else None


def scores_of(store: Store, run: Run, case: Case) -> list[str]:
    """Best and last score of each of a run's metrics, beside what was published, in words."""
    found = store.scores(run.id)
    said = []
    for metric in metrics_of([run], found):
        of_metric = [score for score in found if score.metric == metric]
        best, last = best_of(of_metric), max(of_metric, key=lambda score: score.step)
        published = f", published {case.published[metric]:.3f}" if metric in case.published else ""
        said.append(f"{metric} {best.value:.3f} at best (step {best.step}), {last.value:.3f} at last{published}")
    return said


def collect(experiment: Experiment, overrides: Sequence[Layer], store: Store) -> list[Result]:
    """Find the runs of every case that were made with `overrides`.

    Without overrides they are those made without, or, where there are none, with the newest ones. Runs with other
    settings of a case than its newest are left out. Raises `NotFoundError` where there is no run at all.
    """
    tags = series_tags(experiment, overrides)
    runs = [summary.run for summary in store.summaries(tags=tags)]  # newest first
    if not runs:
        made = [s.run for s in store.summaries(tags=tags[:1], limit=1)]
        hint = f" There are others, such as those of `{made[0].environment.command}`." if made else ""
        raise NotFoundError(
            f"There is no run of the experiment {experiment.name!r} with these settings yet: make some with `sngan "
            f"experiments run`.{hint}"
        )
    all_series = [_series(run) for run in runs]
    series = "" if "" in all_series else all_series[0]
    runs = [run for run in runs if _series(run) == series]
    results = [
        Result(case, tuple(_curves(store, run) for run in _runs_of(case, runs)), _intended(experiment, case))
        for case in experiment.cases
    ]
    if not any(result.runs for result in results):
        raise NotFoundError(
            f"The experiment {experiment.name!r} has {counted(len(runs), 'run')}, none of a case that it has now "
            f"({', '.join(case.name for case in experiment.cases)}): name its cases as when they were made."
        )
    return results


def other_series(experiment: Experiment, results: Sequence[Result], store: Store) -> list[str]:
    """Commands of runs that belong to the experiment and are not among its results, one for each set of overrides."""
    used = {_series(curves.run) for result in results for curves in result.runs}
    runs = [summary.run for summary in store.summaries(tags=[f"experiment:{experiment.name}"])]
    commands = {_series(run): run.environment.command for run in reversed(runs) if _series(run) not in used}
    return list(commands.values())


def _intended(experiment: Experiment, case: Case) -> dict[str, Any]:
    config = compose(experiment.layers(case, experiment.seeds[0], ()), Catalog.installed()).config.to_dict()
    epochs = config.pop("epochs", None)
    settings = flat(config | ({} if epochs is None else {"steps": counted(epochs, "epoch")}))
    return settings | united(settings)


def _series(run: Run) -> str:
    """The tag that tells with which overrides a run was made; empty for none."""
    return next((tag for tag in run.tags if tag.startswith("overrides:")), "")


def _runs_of(case: Case, runs: Sequence[Run]) -> list[Run]:
    """The run of each seed that came furthest, among those with the settings of the newest."""
    own = [run for run in runs if f"case:{case.name}" in run.tags]
    same = [run for run in own if _but_seed(run) == _but_seed(own[0])]
    by_seed: dict[int, Run] = {}
    for run in sorted(same, key=lambda run: _ORDER.index(run.status)):
        by_seed.setdefault(run.seed, run)
    return [by_seed[seed] for seed in sorted(by_seed)]


def _but_seed(run: Run) -> Mapping[str, Any]:
    return {key: value for key, value in conditions_of_run(run).items() if key != "seed"}


def _curves(store: Store, run: Run) -> Curves:
    return Curves(run, store.scalars(run.id), store.scores(run.id))

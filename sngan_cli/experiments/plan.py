"""What an experiment has to train: its cases composed, and the runs of them that the registry knows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sngan_cli.catalog import Catalog
from sngan_cli.comparison import is_scored
from sngan_cli.composition import Composition, compose
from sngan_cli.config import Layer, RunConfig, flat, united
from sngan_cli.errors import ComponentError, SnganError, UsageError, is_divergence
from sngan_cli.experiments.experiment import Case, Experiment, place
from sngan_cli.home import real_path
from sngan_cli.paths import runs_folder
from sngan_cli.run_checkpoints import checkpoints_of
from sngan_cli.run_table import text_of
from sngan_registry import Run, Status, Store

State = Literal["finished", "unscored", "diverged", "running", "interrupted", "new"]
_OF_THE_MACHINE = ("device", "devices", "compile", "data_dir")
"""Settings that say where a run is made, not what it is."""


@dataclass(frozen=True)
class Planned:
    """A case with one seed, composed, and the run of exactly these settings, where there is one."""

    case: Case
    seed: int
    composition: Composition
    tags: tuple[str, ...]
    run: Run | None
    state: State

    def settings(self, experiment: Experiment) -> dict[str, Any]:
        """What it is trained with, overrides included, of the settings that change from case to case."""
        settings = flat(self.composition.config.to_dict())
        by_any_name = settings | united(settings)
        return {key: by_any_name.get(key) for key in experiment.conditions()}

    def conditions(self, experiment: Experiment) -> str:
        """The same in words."""
        words = {key: text_of(value) for key, value in self.settings(experiment).items()}
        told = ", ".join(f"{key} {text}" for key, text in words.items() if text)
        return told or "the fixed conditions"

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"case {self.case.name}, seed {self.seed}"


def plan(
    experiment: Experiment, cases: Sequence[str], seeds: Sequence[int], overrides: Sequence[Layer], store: Store
) -> list[Planned]:
    """Compose the cases named (all where none is), each seed after the other, and look up their runs.

    Nothing is trained before all of them are known to fit: raises `UsageError` for the first that does not.
    """
    chosen = [experiment.case(name) for name in dict.fromkeys(cases)] or list(experiment.cases)
    tags = series_tags(experiment, overrides)
    planned = []
    for seed in dict.fromkeys(seeds or experiment.seeds):
        for case in chosen:
            composition = _compose(experiment, case, seed, overrides)
            own = (*tags, f"case:{case.name}")
            run, state = look_up(store, own, composition)
            planned.append(Planned(case, seed, composition, own, run, state))
    return planned


def refreshed(planned: Sequence[Planned], store: Store) -> list[Planned]:
    """The same, with the runs that there are by now."""
    found = [(item, *look_up(store, item.tags, item.composition)) for item in planned]
    return [replace(item, run=run, state=state) for item, run, state in found]


def alike(planned: Sequence[Planned]) -> list[tuple[str, str]]:
    """Pairs of cases that overrides, or the experiment itself, have given the same settings."""
    found: dict[str, str] = {}
    pairs = []
    for item in planned:
        first = found.setdefault(json.dumps(item.composition.config.to_dict(), sort_keys=True), item.case.name)
        if first != item.case.name and (first, item.case.name) not in pairs:
            pairs.append((first, item.case.name))
    return pairs


def series_tags(experiment: Experiment, overrides: Sequence[Layer]) -> tuple[str, ...]:
    """Tags of the runs that are made together: the experiment's, and one for what overrides its settings."""
    digest = _digest(overrides)
    return (f"experiment:{experiment.name}", *((f"overrides:{digest}",) if digest else ()))


def look_up(store: Store, tags: Sequence[str], composition: Composition) -> tuple[Run | None, State]:
    """Find the run of these settings that came furthest, and how it stands."""
    found = [s.run for s in store.summaries(tags=tags) if _same(s.run.config, composition)]
    states = [(run, _state(store, run)) for run in found]
    order: tuple[State, ...] = ("finished", "running", "unscored", "diverged", "interrupted")
    for state in order:
        for run, its in states:
            if its == state:
                return run, state
    return None, "new"


def _state(store: Store, run: Run) -> State:
    there = [each.step for each in checkpoints_of(store, run, runs_folder()) if each.deleted is None]
    if run.status is Status.FINISHED:
        return "unscored" if run.steps in there and not is_scored(run, store.scores(run.id), run.steps) else "finished"
    if run.status is Status.RUNNING:
        return "running"
    if run.status is Status.FAILED and is_divergence(run.reason):
        return "diverged"
    # A run that stopped before its first checkpoint holds nothing to go on from.
    return "interrupted" if there else "new"


def _same(recorded: Mapping[str, Any], composition: Composition) -> bool:
    """Whether a run was made with these settings; some may be known only once data and device are.

    A run of an earlier sngan lacks settings that have come since, and was made with what is their default.
    """
    wanted = composition.config.to_dict()
    resolved = {key for key in ("size", "steps", "precision") if key not in wanted}
    open_ = {*resolved, "epochs", *_OF_THE_MACHINE}
    data_dir = wanted.get("data_dir")
    if data_dir is not None and recorded.get("data_dir") != str(real_path(data_dir)):
        return False
    return _without({**RunConfig.defaults(), **recorded}, open_) == _without(wanted, open_)


def _without(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """A configuration as JSON knows it, less some settings."""
    kept: dict[str, Any] = json.loads(json.dumps({key: value for key, value in config.items() if key not in keys}))
    return kept


def conditions_of_run(run: Run) -> dict[str, Any]:
    """The settings of a run, less those that say where it was made."""
    return _without(run.config, {*_OF_THE_MACHINE})


def _digest(overrides: Sequence[Layer]) -> str:
    """Tells sets of overrides apart, however each was given; empty where there are none."""
    given: dict[str, Any] = {}
    for layer in overrides:
        given |= {key: value for key, value in flat(layer.values).items() if key not in _OF_THE_MACHINE}
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8] if given else ""


def _compose(experiment: Experiment, case: Case, seed: int, overrides: Sequence[Layer]) -> Composition:
    try:
        return compose(experiment.layers(case, seed, overrides), Catalog.installed())
    except (ComponentError, UsageError) as error:
        raise _blamed(error, experiment, case) from error


def _blamed(error: SnganError, experiment: Experiment, case: Case) -> SnganError:
    """The same error, with the line of the experiment that it comes from, where that can be told."""
    origin = experiment.fixed.origin
    index = experiment.cases.index(case)
    for where, values in ((index, case.settings.values), (None, experiment.fixed.values)):
        for key, value in values.items():
            named = value.get("name", value) if isinstance(value, Mapping) else value
            if re.search(rf"\b{re.escape(key)}\b", str(error)) or f"{named!r}" in str(error):
                return type(error)(f"{place(origin, experiment.text, where, key)} (case {case.name}): {error}")
    return type(error)(f"{origin}, case {case.name}: {error}")

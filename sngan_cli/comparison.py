"""What differs between runs, and which of their scores may be compared."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sngan_cli.config import flat, united
from sngan_registry import Component, Run, Score, best_of, most_used_first


@dataclass(frozen=True)
class Compared:
    """A run beside others: what it is made of, all its scores, and how many checkpoints it has on disk.

    Nothing can be measured without a checkpoint.
    """

    run: Run
    components: Sequence[Component]
    scores: Sequence[Score]
    checkpoints: int


@dataclass(frozen=True)
class Entry:
    """The best and the last score of a run by one protocol, with one of its generator's weights (raw or averaged).

    They are of one step or several: `steps` says of how many.
    """

    run_id: str
    weights: str
    best: Score
    last: Score
    steps: int


@dataclass(frozen=True)
class Measured:
    """What one protocol says of one metric: of some runs, and of others nothing, which are `missing`."""

    metric: str
    protocol: str
    entries: tuple[Entry, ...]
    missing: tuple[str, ...]

    @property
    def scores(self) -> list[Score]:
        """The best score of each entry."""
        return [entry.best for entry in self.entries]

    @property
    def runs(self) -> list[str]:
        """Ids of the runs that were measured."""
        return list(dict.fromkeys(entry.run_id for entry in self.entries))

    def leads(self, score: Score, *, last: bool) -> bool:
        """Whether a score, a best or a last one, is the best of several runs'."""
        rivals = [entry.last if last else entry.best for entry in self.entries]
        return len(self.runs) > 1 and score.value == best_of(rivals).value


def differences(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The keys in which runs differ, each with its values by run id; None counts as no value.

    They are in the order of the runs' own `facts`; a component's options follow its name.
    """
    values: dict[str, dict[str, Any]] = {}
    for run_id, of_run in facts.items():
        for key, value in of_run.items():
            if value is not None:
                values.setdefault(key, {})[run_id] = value
    roles = list(dict.fromkeys(key.partition(".")[0] for key in values))
    return {
        key: values[key]
        for key in sorted(values, key=lambda key: roles.index(key.partition(".")[0]))
        if len(values[key]) < len(facts) or len({repr(value) for value in values[key].values()}) > 1
    }


def differing_settings(runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """Settings and options in which runs differ, said once where both networks of every run agree."""
    return united(differences({run.id: _settings(run) for run in runs}))


def differing_versions(compared: Iterable[Compared]) -> dict[str, dict[str, Any]]:
    """Versions, packages of components, machines and contents of the data in which runs differ."""
    return differences({each.run.id: _versions(each) for each in compared})


def metrics_of(runs: Iterable[Run], scores: Iterable[Score]) -> list[str]:
    """The metrics that there are scores of, in the order in which the runs' configurations name them."""
    scored = {score.metric for score in scores}
    named = dict.fromkeys(metric for run in runs for metric in run.config.get("metrics", {}))
    return [metric for metric in (*named, *sorted(scored - set(named))) if metric in scored]


def is_scored(run: Run, scores: Iterable[Score], step: int) -> bool:
    """Whether a step of a run has a score by each metric that the run is scored by while it is trained.

    One by another extractor than the run's own is none of these: nothing else of the run compares with it.
    """
    found = {score.metric for score in scores if score.step == step and _is_by_own_extractor(run, score)}
    return found >= {*run.config.get("metrics", ())}


def _is_by_own_extractor(run: Run, score: Score) -> bool:
    """Whether a score is by the extractor of its run, whatever the options, or by one that is not known.

    One that was trained is told by its weights, too: its name may stand for others by now.
    """
    own, called = run.config.get("extractor", {}), str(score.evidence.get("extractor", ""))
    name = own.get("trained") or own.get("name", "")
    # A plugin may call its extractor as it likes in scores, and while it is trained a run has but one.
    is_named_so = called in ("", name) or called.startswith(f"{name}[")
    weights = own.get("sha256")
    is_own = is_named_so and weights in (None, score.evidence.get("weights_sha256", weights))
    return score.is_of_training or is_own


def best_step(run: Run, scores: Iterable[Score], steps: Container[int]) -> int | None:
    """The one of `steps` that `--checkpoint best` means: the best by the run's first metric; None if none is scored.

    Only scores of one protocol are compared: the one by which most of these steps were measured, of several the first.
    They are those of the generator's weights that the run is drawn with, and of others where there are none of these.
    """
    first = next(iter(run.config.get("metrics", {})), None)
    found = [score for score in scores if score.metric == first and score.step in steps]
    own = [score for score in found if score.generator_weights in ("", run.config.get("weights"))]
    by_protocol: dict[str, list[Score]] = {}
    for score in sorted(own or found, key=lambda score: score.created.timestamp() if score.created else 0):
        by_protocol.setdefault(score.protocol, []).append(score)
    most = max(by_protocol.values(), key=lambda own: len({score.step for score in own}), default=())
    return best_of(most).step if most else None


def measured(compared: Sequence[Compared], metric: str) -> list[Measured]:
    """What is known of a metric, one protocol after the other: first those that most of the runs share."""
    of_metric = [(each.run.id, score) for each in compared for score in each.scores if score.metric == metric]
    found = []
    for protocol in most_used_first(of_metric):
        entries = tuple(_entries((run_id, score) for run_id, score in of_metric if score.protocol == protocol))
        there = {entry.run_id for entry in entries}
        missing = tuple(each.run.id for each in compared if each.run.id not in there)
        found.append(Measured(metric, protocol, entries, missing))
    return found


def differing_classes(block: Measured, most: int) -> tuple[dict[str, list[float]], int]:
    """The classes, `most` at most, whose values differ most between the best scores, and how many classes there are.

    Only those that all entries have are looked at; there are none unless two runs have some.
    """
    by_entry = [score.evidence.get("classes") or {} for score in block.scores]
    if len(block.runs) < 2:
        return {}, 0
    shared = [name for name in by_entry[0] if all(name in classes for classes in by_entry)]
    values = {name: [classes[name] for classes in by_entry] for name in shared}
    widest = sorted(shared, key=lambda name: min(values[name]) - max(values[name]))[:most]
    return {name: values[name] for name in widest}, len(shared)


def _settings(run: Run) -> dict[str, Any]:
    """Settings of a run, without the path of an extractor's weights whose hash is known: that tells them apart."""
    found = flat(run.config)
    if found.get("extractor.sha256"):
        found.pop("extractor.weights", None)
    return found


def _entries(scores: Iterable[tuple[str, Score]]) -> Iterable[Entry]:
    by_weights: dict[tuple[str, str], list[Score]] = {}
    for run_id, score in scores:
        by_weights.setdefault((run_id, score.generator_weights), []).append(score)
    for (run_id, weights), own in by_weights.items():
        steps = len({score.step for score in own})
        yield Entry(run_id, weights, best_of(own), max(own, key=lambda score: score.step), steps)


def _versions(each: Compared) -> dict[str, Any]:
    environment = each.run.environment
    return {
        "sngan": environment.sngan, "torch": environment.torch, "python": environment.python, "CUDA": environment.cuda,
        "host": environment.host, "trained on": environment.device,
        "git": environment.git_commit and environment.git_commit[:12],
        "data": each.run.data_sha256 and each.run.data_sha256[:12],
        **{component.distribution: component.version for component in each.components},
    }  # fmt: skip

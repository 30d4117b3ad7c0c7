"""What differs between runs, and which of their scores may be compared."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sngan_cli.config import flat, shared_name
from sngan_cli.config.protocols import ScoringProtocol, protocols
from sngan_cli.run_table import names_of
from sngan_registry import Component, Run, Score, best_of, most_used_first

_UNUSUAL = ("labels", "truncation", "precision")
"""Parts of a protocol that are options of `sngan evaluate`, not of a metric."""


@dataclass(frozen=True)
class Compared:
    """A run beside others: what it is made of, and all its scores. Nothing can be measured without a checkpoint."""

    run: Run
    components: Sequence[Component]
    scores: Sequence[Score]
    has_checkpoint: bool


@dataclass(frozen=True)
class Entry:
    """The best and the last score of a run by one protocol, with one of its generator's weights (raw or averaged)."""

    run_id: str
    weights: str
    best: Score
    last: Score


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
    """The keys in which runs differ: to each the value of every run (by id) that has one, None being none.

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
    found = differences({run.id: flat(run.config) for run in runs})
    for of_g in list(found):
        of_d, both = shared_name(of_g) or (of_g, of_g)
        if of_d != of_g and found.get(of_d) == found[of_g]:
            found = {(both if key == of_g else key): values for key, values in found.items() if key != of_d}
    return found


def differing_versions(compared: Iterable[Compared]) -> dict[str, dict[str, Any]]:
    """Versions, packages of components and machines in which runs differ."""
    return differences({each.run.id: _versions(each) for each in compared})


def metrics_of(runs: Iterable[Run], scores: Iterable[Score]) -> list[str]:
    """The metrics that there are scores of, in the order in which the runs' configurations name them."""
    scored = {score.metric for score in scores}
    named = dict.fromkeys(metric for run in runs for metric in run.config.get("metrics", {}))
    return [metric for metric in (*named, *sorted(scored - set(named))) if metric in scored]


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


def commands_to_measure(block: Measured, compared: Iterable[Compared]) -> list[str] | None:
    """The `sngan evaluate` commands that measure the missing runs the same way: one for each that has a checkpoint.

    None where no protocol by name looks at as many images. A metric's own settings are spelled out where the
    protocol has others. Those in words are not: they say how a metric works, and are no options of the built-in ones.
    """
    choices = [(name, _own_settings(block, named)) for name, named in protocols().items() if _fits(block, named)]
    if not choices:
        return None
    name, own = min(choices, key=lambda choice: (choice[0] not in names_of(block.scores), len(choice[1])))
    # The best of several checkpoints is to be compared with that of several.
    which = ["--checkpoint", "all"] if any(entry.best is not entry.last for entry in block.entries) else []
    options = [word for key, value in own.items() for word in ("--set", f"metrics.{block.metric}.{key}={value}")]
    return [
        _command(
            each.run,
            "--metric",
            block.metric,
            "--protocol",
            name,
            *which,
            *options,
            *_unusual(block),
            *_extractor(block, each.run),
        )
        for each in compared
        if each.run.id in block.missing and each.has_checkpoint
    ]


def commands_to_share(compared: Sequence[Compared], metric: str) -> list[str]:
    """The `sngan evaluate` commands after which all runs have scores of a metric by one protocol."""
    of_protocols = (commands_to_measure(block, compared) for block in measured(compared, metric))
    anew = [_command(each.run, "--metric", metric) for each in compared if each.has_checkpoint]
    return next((commands for commands in of_protocols if commands is not None), anew)


def _entries(scores: Iterable[tuple[str, Score]]) -> Iterable[Entry]:
    by_weights: dict[tuple[str, str], list[Score]] = {}
    for run_id, score in scores:
        by_weights.setdefault((run_id, str(score.evidence.get("generator_weights", ""))), []).append(score)
    for (run_id, weights), own in by_weights.items():
        yield Entry(run_id, weights, best_of(own), max(own, key=lambda score: score.step))


def _versions(each: Compared) -> dict[str, Any]:
    environment = each.run.environment
    return {
        "sngan": environment.sngan, "torch": environment.torch, "python": environment.python, "CUDA": environment.cuda,
        "host": environment.host, "trained on": environment.device,
        "git": environment.git_commit and environment.git_commit[:12],
        **{component.distribution: component.version for component in each.components},
    }  # fmt: skip


def _fits(block: Measured, named: ScoringProtocol) -> bool:
    """Whether a protocol looks at as many images as the scores did, and at as many real ones as far as there are."""
    images, real, _ = named.of(block.metric)
    evidence = block.scores[0].evidence
    if evidence.get("images") != images:
        return False
    return named.name in names_of(block.scores) or evidence.get("real") in (None, real)


def _command(run: Run, *options: str) -> str:
    return shlex.join(["sngan", "evaluate", run.id, *options])


def _extractor(block: Measured, run: Run) -> list[str]:
    """The option that names the extractor of scores where a run has another one."""
    own, wanted = run.config.get("extractor", {}), block.scores[0].evidence.get("extractor")
    return [] if wanted in (None, own.get("trained"), own.get("name")) else ["--extractor", str(wanted)]


def _unusual(block: Measured) -> list[str]:
    """The options of `sngan evaluate` that made a protocol of its own: how images were drawn and looked at."""
    words = dict(word.split("=", 1) for word in block.protocol.split()[1:])
    options = [part for key in _UNUSUAL if key in words for part in (f"--{key}", words[key])]
    drawn = {entry.weights for entry in block.entries}
    if len(drawn) > 1:
        return options
    weights, _, standing = drawn.pop().partition(", ")
    return [*options, *(["--weights", weights] if weights == "averaged" else []), *(["--standing"] if standing else [])]


def _own_settings(block: Measured, named: ScoringProtocol) -> dict[str, str]:
    """The metric's settings behind the scores that are numbers, and are not those of the protocol."""
    evidence, (_, _, options) = block.scores[0].evidence, named.of(block.metric)
    # After extractor and number of images, the protocol's text has one KEY=VALUE for each setting.
    keys = [word.partition("=")[0] for word in block.protocol.split()[1:]]
    return {
        key: str(evidence[key]).lower()
        for key in keys
        if key not in ("n", "real", *_UNUSUAL)
        and isinstance(evidence.get(key), int | float)
        and evidence[key] != options.get(key)
    }

"""What differs between runs, and which of their scores may be compared."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sngan_cli.catalog import Catalog
from sngan_cli.composition import make_metrics
from sngan_cli.config import flat, shared_name
from sngan_cli.config.protocols import ScoringProtocol, protocols
from sngan_cli.errors import SnganError
from sngan_cli.run_table import names_of, weights_of
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
class Proposal:
    """How to measure a run: the `sngan evaluate` command that does, or why none can be given."""

    run: Run
    command: str
    refusal: str | None


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


def proposals_to_measure(block: Measured, compared: Sequence[Compared]) -> list[Proposal] | None:
    """How to measure the missing runs the same way: one proposal for each that has a checkpoint.

    None where no protocol by name looks at as many images. A metric's own settings are spelled out where the
    protocol has others. Those in words are not: they say how a metric works, and are no options of the built-in ones.
    """
    choices = [(named, _own_settings(block, named)) for named in protocols().values() if _fits(block, named)]
    if not choices:
        return None
    named, own = min(choices, key=lambda choice: (choice[0].name not in names_of(block.scores), len(choice[1])))
    # The best of several checkpoints is to be compared with that of several.
    which = ["--checkpoint", "all"] if any(entry.best is not entry.last for entry in block.entries) else []
    options = [word for key, value in own.items() for word in ("--set", f"metrics.{block.metric}.{key}={value}")]
    how = ["--metric", block.metric, "--protocol", named.name, *which, *options]
    wanted = block.scores[0].evidence.get("extractor")
    return [
        Proposal(
            each.run,
            _command(each.run, *how, *_unusual(block, each.run), *_extractor(wanted, each.run)),
            _other_drawing(block, each.run) or _refusal(each.run, block.metric, named, own, compared),
        )
        for each in compared
        if each.run.id in block.missing and each.has_checkpoint
    ]


def proposals_to_share(compared: Sequence[Compared], metric: str) -> list[Proposal]:
    """How to measure runs so that all have scores of a metric by one protocol."""
    of_protocols = (proposals_to_measure(block, compared) for block in measured(compared, metric))
    found = next((proposals for proposals in of_protocols if proposals is not None), None)
    if found is not None:
        return found
    able = [each.run for each in compared if each.has_checkpoint]
    standard = protocols()["standard"]
    return [
        Proposal(
            run,
            _command(run, "--metric", metric, *_extractor(_extractor_of(able[0]), run)),
            _refusal(run, metric, standard, {}, compared),
        )
        for run in able
    ]


def _entries(scores: Iterable[tuple[str, Score]]) -> Iterable[Entry]:
    by_weights: dict[tuple[str, str], list[Score]] = {}
    for run_id, score in scores:
        by_weights.setdefault((run_id, weights_of(score)), []).append(score)
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
    there = evidence.get("data_images", real)
    return named.name in names_of(block.scores) or evidence.get("real") in (None, min(real or there, there))


def _other_drawing(block: Measured, run: Run) -> str | None:
    """Why images of a run cannot be drawn as those of a protocol were, as far as the registry knows."""
    words, conditional = _words(block), bool(run.config.get("conditional"))
    if "labels" in words and not conditional:
        return f"it is unconditional, and classes were drawn by labels={words['labels']}"
    if words.get("classes") == "one" and conditional:
        return "it is conditional, and all images were taken for one class"
    if not conditional and any(score.evidence.get("classes") for score in block.scores):
        return "it is unconditional, and each class was measured by itself"
    if not run.config.get("ema") and all(entry.weights.startswith("averaged") for entry in block.entries):
        return "it keeps no averaged weights (ema = 0)"
    return None


def _refusal(
    run: Run, metric: str, named: ScoringProtocol, given: Mapping[str, Any], compared: Iterable[Compared]
) -> str | None:
    """Why `sngan evaluate` would refuse a metric for a run, as far as that can be known without its data."""
    images, real, of_protocol = named.of(metric)
    there = _data_images(run, compared)
    try:
        options = {**run.config.get("metrics", {}).get(metric, {}), **of_protocol, **given}
        made = make_metrics({metric: options}, Catalog.installed())[metric]
        if made.needs_classes and not run.config.get("conditional"):
            return "the metric needs classes, and it is unconditional"
        made.accumulator(images)
        if there is not None:
            made.reference(min(real or there, there))
    except SnganError as error:
        return str(error).rstrip(".")
    return None


def _data_images(run: Run, compared: Iterable[Compared]) -> int | None:
    """How many images a run's data set has, where a score of these runs says so."""
    alike = [each for each in compared if _data_of(each.run) == _data_of(run)]
    known = (score.evidence.get("data_images") for each in alike for score in each.scores)
    return next((int(count) for count in known if count is not None), None)


def _data_of(run: Run) -> tuple[Any, ...]:
    return tuple(run.config.get(key) for key in ("dataset", "data_dir"))


def _command(run: Run, *options: str) -> str:
    return shlex.join(["sngan", "evaluate", run.id, *options])


def _extractor(wanted: object, run: Run) -> list[str]:
    """The option that names an extractor where a run has another one."""
    return [] if wanted in (None, _extractor_of(run)) else ["--extractor", str(wanted)]


def _extractor_of(run: Run) -> str | None:
    """What scores call a run's extractor: the name that it was trained under, if it was trained here."""
    own: Mapping[str, str | None] = run.config.get("extractor", {})
    return own.get("trained") or own.get("name")


def _words(block: Measured) -> dict[str, str]:
    """What a protocol's text says after the extractor, one KEY=VALUE for each setting."""
    return dict(word.split("=", 1) for word in block.protocol.split()[1:])


def _unusual(block: Measured, run: Run) -> list[str]:
    """The options of `sngan evaluate` that made a protocol of its own: how images were drawn and looked at."""
    words = _words(block)
    options = [part for key in _UNUSUAL if key in words for part in (f"--{key}", words[key])]
    drawn = {entry.weights for entry in block.entries}
    if len(drawn) > 1:
        return options
    weights, _, standing = drawn.pop().partition(", ")
    other = ["--weights", weights] if weights in ("raw", "averaged") and weights != run.config.get("weights") else []
    return [*options, *other, *(["--standing"] if standing else [])]


def _own_settings(block: Measured, named: ScoringProtocol) -> dict[str, str]:
    """The metric's settings behind the scores that are numbers, and are not those of the protocol."""
    evidence, (_, _, options) = block.scores[0].evidence, named.of(block.metric)
    return {
        key: str(evidence[key]).lower()
        for key in _words(block)
        if key not in ("n", "real", *_UNUSUAL)
        and isinstance(evidence.get(key), int | float)
        and evidence[key] != options.get(key)
    }

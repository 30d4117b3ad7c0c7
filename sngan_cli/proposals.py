"""How to measure runs so that their scores can be compared: the shortest `sngan evaluate` that does it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sngan_cli import trained_extractors
from sngan_cli.catalog import Catalog
from sngan_cli.comparison import Compared, Measured
from sngan_cli.composition import compares, make_metrics
from sngan_cli.config.protocols import ScoringProtocol, protocols
from sngan_cli.contracts import Extractor, Metric
from sngan_cli.errors import ComponentError, SnganError
from sngan_cli.run_table import names_of
from sngan_registry import Run

_STANDARD = "standard"
"""The protocol of `sngan evaluate` where none is named."""
_UNUSUAL = ("labels", "truncation", "precision", "seed")
"""Parts of a protocol that are options of `sngan evaluate`, not of a metric."""

Settings = Mapping[str, int | float | str]


@dataclass(frozen=True)
class Proposal:
    """How to measure a run: the `sngan evaluate` command that does, or why none can be given."""

    run: Run
    command: str
    refusal: str | None


def proposals_to_measure(block: Measured, compared: Sequence[Compared]) -> list[Proposal] | None:
    """How to measure the missing runs the same way: one proposal for each that has a checkpoint.

    None where no protocol by name looks at as many images. A metric's own settings are spelled out where the run and
    the protocol have others. Those in words are not: they say how a metric works, and are no options of the built-in
    ones.
    """
    choices = [named for named in protocols().values() if _fits(block, named)]
    if not choices:
        return None
    missing = [each for each in compared if each.run.id in block.missing and each.checkpoints]
    return [_same_way(block, each, choices, compared) for each in missing]


def proposals_to_share(compared: Sequence[Compared], blocks: Iterable[Measured], metric: str) -> list[Proposal]:
    """How to measure runs so that all have scores of a metric, of which these are known, by one protocol."""
    of_protocols = (proposals_to_measure(block, compared) for block in blocks)
    found = next((proposals for proposals in of_protocols if proposals is not None), None)
    return proposals_by_standard(compared, [metric]) if found is None else found


def proposals_by_standard(compared: Sequence[Compared], metrics: Sequence[str] | None = None) -> list[Proposal]:
    """How to measure all runs that have a checkpoint by the standard protocol, and as the first of them has it.

    Without `metrics` it is those of the first. Where only one could be measured so there are refusals alone: its scores
    would compare with none.
    """
    able = [each for each in compared if each.checkpoints]
    if not able:
        return []
    first = able[0].run
    named, metrics = protocols()[_STANDARD], metrics or list(first.config.get("metrics", {}))
    by = _By(_extractor_of(first), first.config.get("extractor", {}).get("sha256") or "")
    wanted = {metric: _numbers(_settings(first, metric, named)) for metric in metrics}
    found = []
    for each in able:
        run = each.run
        given = {metric: _differing(wanted[metric], run, metric, named) for metric in metrics}
        refusals = (
            _unlike(each, able[0], metric, named) or _refusal(each, metric, named, given[metric], compared)
            for metric in metrics
        )
        command = _command(run, metrics, named, given, _extractor(by, run))
        refusal = next((refusal for refusal in refusals if refusal), None)
        found.append(Proposal(run, command, refusal or _other_weights(by, run)))
    refused = [proposal for proposal in found if proposal.refusal is not None]
    return found if len(found) - len(refused) > 1 else refused


def _same_way(
    block: Measured, each: Compared, choices: Iterable[ScoringProtocol], compared: Sequence[Compared]
) -> Proposal:
    """How to measure a run as others were, by the one of these protocols that takes the fewest options."""
    run, evidence = each.run, block.scores[0].evidence
    known = {key: evidence[key] for key in _words(block) if key in evidence and key not in ("n", "real", *_UNUSUAL)}
    given = {named.name: _differing(_numbers(known), run, block.metric, named) for named in choices}
    order = [(named.name not in names_of(block.scores), len(given[named.name])) for named in choices]
    named = min(zip(order, choices, strict=True), key=lambda choice: choice[0])[1]
    own = given[named.name]
    # The best of several checkpoints is to be compared with that of several.
    several = each.checkpoints > 1 and any(entry.steps > 1 for entry in block.entries)
    drawn = [*(["--checkpoint", "all"] if several else []), *_unusual(block, run)]
    by = _By(evidence.get("extractor"), _parts(block)[0].rpartition("@")[2])
    measured = next(other for other in compared if other.run.id in block.runs)
    return Proposal(
        run,
        _command(run, [block.metric], named, {block.metric: own}, [*drawn, *_extractor(by, run)]),
        _other_data(block, each, compared)
        or _unlike(each, measured, block.metric, named, classes_alone=True)
        or _other_drawing(block, run)
        or _refusal(each, block.metric, named, own, compared)
        or _other_weights(by, run),
    )


def _command(
    run: Run, metrics: Sequence[str], named: ScoringProtocol, given: Mapping[str, Settings], more: Sequence[str]
) -> str:
    """The command that measures a run, without what it does anyway."""
    which = [] if metrics == list(run.config.get("metrics", {})) else ["--metric", ",".join(metrics)]
    how = [] if named.name == _STANDARD else ["--protocol", named.name]
    options = [f"metrics.{metric}.{key}={value}" for metric in metrics for key, value in given[metric].items()]
    sets = [word for option in options for word in ("--set", option)]
    return shlex.join(["sngan", "evaluate", run.id, *which, *how, *sets, *more])


def _fits(block: Measured, named: ScoringProtocol) -> bool:
    """Whether a protocol looks at as many images as the scores did, and at as many real ones as far as there are."""
    images, real, _ = named.of(block.metric)
    evidence = block.scores[0].evidence
    if evidence.get("images") != images:
        return False
    there = evidence.get("data_images", real)
    return named.name in names_of(block.scores) or evidence.get("real") in (None, min(real or there, there))


def _other_data(block: Measured, each: Compared, compared: Iterable[Compared]) -> str | None:
    """Why a run cannot be compared with the real images of a protocol, as far as the registry knows."""
    wanted = block.scores[0].evidence.get("real_sha256")
    if wanted is None:
        return None
    own = each.run.data_sha256
    scored = {score.evidence["real_sha256"] for score in each.scores if "real_sha256" in score.evidence}
    seen = {own} if own else scored
    alike = any(_are_of_one_data(each, other) for other in compared if other.run.id in block.runs)
    return None if wanted in seen or (alike and not seen) else "it was trained on other data"


def _other_drawing(block: Measured, run: Run) -> str | None:
    """Why images of a run cannot be drawn as those of a protocol were, as far as the registry knows."""
    words, conditional, first = _words(block), bool(run.config.get("conditional")), block.scores[0].evidence
    labels, seed = words.get("labels"), words.get("seed")
    amiss = {
        f"it is unconditional, and classes were drawn by labels={labels}": labels and not conditional,
        "it is unconditional, and real images were chosen evenly from classes that have not as many of each": (
            first.get("real_chosen") == "evenly" and not conditional
        ),
        f"seed = {seed} is its own, and that of the others is another than theirs": seed == str(run.config.get("seed")),
        "it is conditional, and all images were taken for one class": words.get("classes") == "one" and conditional,
        "it is unconditional, and each class was measured by itself": (
            not conditional and any(score.evidence.get("classes") for score in block.scores)
        ),
        "it keeps no averaged weights (ema = 0)": (
            not run.config.get("ema") and all(entry.weights.startswith("averaged") for entry in block.entries)
        ),
    }
    return next((why for why, is_so in amiss.items() if is_so), None)


def _refusal(
    each: Compared, metric: str, named: ScoringProtocol, given: Settings, compared: Iterable[Compared]
) -> str | None:
    """Why `sngan evaluate` would refuse a metric for a run, as far as that can be known without its data."""
    run = each.run
    images, real, _ = named.of(metric)
    there = _data_images(each, compared)
    try:
        made = _made(run, metric, named, given)
        if made.needs_classes and not run.config.get("conditional"):
            return "the metric needs classes, and it is unconditional"
        made.accumulator(images)
        if there is not None:
            made.reference(min(real or there, there))
    except SnganError as error:
        return str(error).rstrip(".")
    return None


def _unlike(
    each: Compared, first: Compared, metric: str, named: ScoringProtocol, *, classes_alone: bool = False
) -> str | None:
    """Why a run cannot be measured as another one was, if their data differ, or their classes, and are looked at."""
    try:
        made = _made(each.run, metric, named, {})
    except SnganError:
        return None
    looked_at = made.needs_same_classes or (not classes_alone and compares(made))
    return "it was trained on other data" if looked_at and not _are_of_one_data(each, first) else None


def _made(run: Run, metric: str, named: ScoringProtocol, given: Settings) -> Metric:
    """The metric as `sngan evaluate` has it for a run, by a protocol and with these options."""
    options = {**run.config.get("metrics", {}).get(metric, {}), **named.of(metric)[2], **given}
    return make_metrics({metric: options}, Catalog.installed())[metric]


def _settings(run: Run, metric: str, named: ScoringProtocol) -> Settings:
    """What makes scores of a run by a protocol incomparable with others; nothing where the metric cannot be had."""
    try:
        return _made(run, metric, named, {}).protocol()
    except SnganError:
        return {}


def _numbers(settings: Mapping[str, Any]) -> Settings:
    """The settings that are no words."""
    return {key: value for key, value in settings.items() if isinstance(value, int | float)}


def _differing(wanted: Settings, run: Run, metric: str, named: ScoringProtocol) -> Settings:
    """Those of the wanted settings that a run would not be measured with anyway."""
    there = _settings(run, metric, named)
    return {key: str(value).lower() for key, value in wanted.items() if there.get(key) != value}


def _data_images(run: Compared, compared: Iterable[Compared]) -> int | None:
    """How many images a run's data set has, where a score of these runs says so."""
    alike = [each for each in compared if _are_of_one_data(each, run)]
    known = (score.evidence.get("data_images") for each in alike for score in each.scores)
    return next((int(count) for count in known if count is not None), None)


def _are_of_one_data(one: Compared, other: Compared) -> bool:
    """Whether two runs were trained on the same data: by their hashes, or where one has none by what they are called.

    One that was moved or packed is the same, and a folder may hold others by now.
    """
    if one.run.data_sha256 and other.run.data_sha256:
        return one.run.data_sha256 == other.run.data_sha256
    return all(one.run.config.get(key) == other.run.config.get(key) for key in ("dataset", "data_dir", "size"))


@dataclass(frozen=True)
class _By:
    """The extractor of scores: what they call it, its options between brackets, and how its weights' SHA-256 begins."""

    label: str | None
    weights: str

    def is_of(self, run: Run) -> bool:
        """Whether it is the run's own."""
        own = run.config.get("extractor", {}).get("sha256") or self.weights  # of an installed one the label tells all
        return self.label == _extractor_of(run) and own.startswith(self.weights)


def _extractor(by: _By, run: Run) -> list[str]:
    """The options that make a run's extractor this one."""
    if by.label is None or by.is_of(run):
        return []
    name, given = _parted(by.label)
    if name not in _installed():
        with suppress(ComponentError):  # `_other_weights` says so
            name = trained_extractors.called_here(by.label, by.weights)
    of_run, its_options = _parted(str(_extractor_of(run)))
    other = [] if name == of_run and name in _installed() else ["--extractor", name]
    usual = {} if other else {key: _usual(name, key) for key in its_options}
    options = (f"extractor.{key}={value}" for key, value in {**usual, **given}.items())
    return [*other, *(word for option in options for word in ("--set", option))]


def _other_weights(by: _By, run: Run) -> str | None:
    """Why `sngan evaluate` would not measure a run by this extractor: its weights are not here."""
    if by.label is None or _parted(by.label)[0] in _installed():
        return None
    try:
        if by.is_of(run):
            trained_extractors.check_there(trained_extractors.found_again(run.config.get("extractor", {})))
        else:
            trained_extractors.called_here(by.label, by.weights)
    except ComponentError as error:
        return _in_midst(str(error))
    return None


def _in_midst(reason: str) -> str:
    """A sentence as it is said after a colon."""
    return f"{reason[:1].lower()}{reason[1:]}".rstrip(".")


def _installed() -> list[str]:
    return Catalog.installed().names("extractor")


def _parted(label: str) -> tuple[str, dict[str, str]]:
    """Name and options of an extractor as scores call it: NAME, or NAME[KEY=VALUE,...]."""
    name, _, options = label.removesuffix("]").partition("[")
    given = (each.split("=", 1) for each in re.split(r",(?=\w+=)", options) if "=" in each)
    return name, {key: unquote(value) for key, value in given}


def _usual(name: str, option: str) -> str:
    """The default of an extractor's option, as it is given."""
    return str(Catalog.installed().load("extractor", name).component.model_fields[option].default).lower()


def _extractor_of(run: Run) -> str | None:
    """What scores call a run's extractor; its name alone where it is not installed."""
    own: Mapping[str, Any] = run.config.get("extractor", {})
    name: str = own.get("name", "")
    try:
        made = Catalog.installed().make("extractor", name, {key: value for key, value in own.items() if key != "name"})
    except SnganError:
        return own.get("trained") or name or None
    assert isinstance(made, Extractor)
    return made.label(name)


def _words(block: Measured) -> dict[str, str]:
    """What a protocol's text says after the extractor, one KEY=VALUE for each setting."""
    return dict(word.split("=", 1) for word in _parts(block)[1:] if "=" in word)


def _parts(block: Measured) -> list[str]:
    """The words of a protocol's text: first what follows the extractor's name, which may have spaces, then settings."""
    return block.protocol.removeprefix(str(block.scores[0].evidence.get("extractor", ""))).split()


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

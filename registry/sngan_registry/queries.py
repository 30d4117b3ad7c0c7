"""Filters and orders of a table of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import groupby
from typing import Any, TypeVar

from sngan_registry.errors import QueryError
from sngan_registry.records import PROTOCOL_NAME, Measurement, Run, RunSummary, Score, Status

Comparable = TypeVar("Comparable", bound=Measurement)

Facts = Mapping[str, Sequence[Any]]
"""What can be asked of a run: to each key the values that it has there."""


@dataclass(frozen=True)
class Sorted:
    """Runs in order. Where that is one of scores, `protocols` are those of the scores, the leading runs' first."""

    summaries: tuple[RunSummary, ...]
    protocols: tuple[str, ...] = ()


def facts_of(summary: RunSummary) -> Facts:
    """Everything that runs can be filtered and sorted by, and that a table can show.

    A key is a component's role (`loss`, `arch_g`), one of its options (`loss.margin`), a plain setting of the
    configuration (`n_dis`), or what the registry knows of the run itself (`status`, `tag`, ...): `device` is the one
    that it was trained on, `duration` in seconds. `arch`, its options and `lr` have a value where both networks agree.
    """
    run, environment = summary.run, summary.run.environment
    facts: dict[str, list[Any]] = {
        key: list(value) if isinstance(value, list) else [value]
        for key, value in run.config.items()
        if not isinstance(value, Mapping)
    }
    for role, components in groupby(summary.components, key=lambda component: component.role):
        facts[role] = []
        for component in components:
            facts[role].append(component.name)
            for option, value in component.options.items():
                facts.setdefault(f"{role}.{option}", []).append(value)
    for of_g in [key for key in facts if key == "lr_g" or key.partition(".")[0] == "arch_g"]:
        of_d, both = of_g.replace("_g", "_d", 1), of_g.replace("_g", "", 1)
        if both not in facts:
            facts[both] = [value for value in facts[of_g] if value in facts.get(of_d, ())]
    own = {
        "id": run.id, "name": run.name, "status": run.status.value, "step": run.step, "steps": run.steps,
        "seed": run.seed, "created": _iso(run.created), "started": _iso(run.started), "ended": _iso(run.ended),
        "duration": duration_of(run), "parent": run.parent, "host": environment.host, "device": environment.device,
        "data_sha256": run.data_sha256,
        "torch": environment.torch, "command": environment.command, "reason": run.reason, "note": run.note,
    }  # fmt: skip
    return facts | {key: [value] for key, value in own.items()} | {"tag": list(run.tags)}


def duration_of(run: Run) -> float | None:
    """Seconds from when a run was first trained to when it last was; None where it never was, or the clock went back.

    A run that is being trained has lasted until now, a lost one until its last sign of life.
    """
    if run.started is None:
        return None
    end = run.ended or (run.heartbeat if run.status is Status.LOST else datetime.now(UTC))
    return None if end is None or end < run.started else (end - run.started).total_seconds()


def filter_summaries(summaries: Iterable[RunSummary], where: Mapping[str, str]) -> list[RunSummary]:
    """Keep the runs that have every value asked for, by the keys of `facts_of`.

    Numbers are compared as numbers: `lr=2e-4` finds 0.0002; yes, true and 1 are the same, as are no, false and 0.
    Raises `QueryError` for a key that none of the runs has, and for a value that it cannot have.
    """
    facts = [(summary, facts_of(summary)) for summary in summaries]
    known = set[str]().union(*(keys for _, keys in facts))
    for key, text in where.items():
        if known and key not in known:
            near = get_close_matches(key, sorted(known), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(known))}."
            raise QueryError(f"No run has a setting {key!r}: {hint}")
        _check_type(key, text, [value for _, values in facts for value in values.get(key, ())])
    return [
        summary
        for summary, values in facts
        if all(any(_equals(value, text) for value in values.get(key, ())) for key, text in where.items())
    ]


def sort_summaries(summaries: Iterable[RunSummary], key: str, *, reverse: bool = False) -> Sorted:
    """Sort by the best score of the metric `key`, the best run first, or else by that key of `facts_of`.

    Scores of different protocols are never mixed. Runs measured by the most used protocol (`most_used_first`) come
    first, then those measured by another, each protocol by itself, then those without a score: with a key that no run
    has, all stay where they are. `reverse` turns the order around, within each protocol.
    """
    summaries = tuple(summaries)
    if not any(score.metric == key for summary in summaries for score in summary.best):
        ranked = [(_rank(facts_of(summary).get(key, ())), summary) for summary in summaries]
        having = sorted((pair for pair in ranked if pair[0]), key=lambda pair: pair[0], reverse=reverse)
        return Sorted(tuple(summary for _, summary in (*having, *(pair for pair in ranked if not pair[0]))))
    scored = [(score, summary) for summary in summaries for score in summary.best if score.metric == key]
    told = [(s.run.id, score) for s in summaries for score in (*s.best, *s.last) if score.metric == key]
    protocols = most_used_first(told)
    placed: dict[str, RunSummary] = {}
    for protocol in protocols:
        measured = [pair for pair in scored if pair[0].protocol == protocol]
        for _, summary in sorted(measured, key=lambda pair: _badness(pair[0], reverse)):
            placed.setdefault(summary.run.id, summary)
    rest = [summary for summary in summaries if summary.run.id not in placed]
    return Sorted((*placed.values(), *rest), tuple(protocols))


def most_used_first(scores: Iterable[tuple[str, Measurement]]) -> list[str]:
    """Protocols of scores, each with the id of what was scored, by the number of runs or pictures.

    Those that scored NaN do not count. Of equals those come first by which runs are scored while they are trained, then
    those with a name, and of these, in turn, the one with the latest score does.
    """
    uses: dict[str, tuple[set[str], list[tuple[bool, bool, datetime]]]] = {}
    for run_id, score in scores:
        if score.created is not None:
            runs, told = uses.setdefault(score.protocol, (set(), []))
            if not math.isnan(score.value):
                runs.add(run_id)
            told.append((score.is_of_training, PROTOCOL_NAME in score.evidence, score.created))
    return sorted(uses, key=lambda protocol: (len(uses[protocol][0]), max(uses[protocol][1])), reverse=True)


def best_of(scores: Iterable[Score]) -> Score:
    """The best of comparable scores, the earliest of equal ones; a finite one where there is any."""
    return min(scores, key=lambda score: (*_badness(score, False), score.step))


def best_first(scores: Iterable[Comparable]) -> list[Comparable]:
    """Comparable scores, the best first and what is not finite behind all; of equal ones the order stays."""
    return sorted(scores, key=lambda score: _badness(score, False))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _rank(values: Sequence[Any]) -> tuple[tuple[bool, Any], ...]:
    """Sorts numbers before words; empty where there is no value."""
    known = [value for value in values if value is not None]
    return tuple((isinstance(value, str), value) for value in known if isinstance(value, str | int | float))


_TRUE, _FALSE, _NONE = ("yes", "true", "1"), ("no", "false", "0"), ("", "none")


def _equals(value: Any, text: str) -> bool:
    if value is None:
        return text.lower() in _NONE
    if isinstance(value, bool):
        return text.lower() in (_TRUE if value else _FALSE)
    if isinstance(value, int | float):
        return value == _number(text)
    return str(value) == text


def _check_type(key: str, text: str, values: Iterable[Any]) -> None:
    """Raise `QueryError` for a text that is no value of the one type that all known values have."""
    known = [value for value in values if value is not None]
    if not known or text.lower() in _NONE:
        return
    if all(isinstance(value, bool) for value in known):
        if text.lower() not in (*_TRUE, *_FALSE):
            raise QueryError(f"{key} = {text!r} cannot be asked for: {key} is yes or no.")
    elif all(isinstance(value, int | float) for value in known) and _number(text) is None:
        raise QueryError(f"{key} = {text!r} cannot be asked for: {key} is a number, such as {known[0]}.")


def _number(text: str) -> int | float | None:
    """The number that a text is, an integer exactly; None where it is none."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return None


def _badness(score: Measurement, reverse: bool) -> tuple[bool, float]:
    """Key that puts the best score first (or last, in reverse), and what is no finite number behind all."""
    return not math.isfinite(score.value), score.merit if reverse else -score.merit

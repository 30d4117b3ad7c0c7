"""Filters and orders of a table of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sngan_registry.errors import RegistryError
from sngan_registry.records import RunSummary, Score

Facts = Mapping[str, Sequence[Any]]
"""What can be asked of a run: to each key the values that it has there."""

_SORT_KEYS: dict[str, Callable[[RunSummary], Any]] = {
    "id": lambda summary: summary.run.id,
    "created": lambda summary: summary.run.created,
    "name": lambda summary: (summary.run.name is None, summary.run.name or ""),
    "status": lambda summary: summary.run.status.value,
    "step": lambda summary: summary.run.step,
    "seed": lambda summary: summary.run.seed,
}

SORT_KEYS = tuple(_SORT_KEYS)
"""What runs can be sorted by besides a metric's name."""


@dataclass(frozen=True)
class Sorted:
    """Runs in order. Where that is one of scores, `protocol` is how those of the leading runs were measured."""

    summaries: tuple[RunSummary, ...]
    protocol: str | None = None


def filter_summaries(summaries: Iterable[RunSummary], where: Mapping[str, str]) -> list[RunSummary]:
    """Keep the runs that have every value asked for.

    A key is a component's role (`loss`, `arch_g`, or `arch` for both networks), one of its options (`loss.margin`), or
    a plain setting of the configuration (`n_dis`). Numbers are compared as numbers: `lr=2e-4` finds 0.0002. Raises
    `RegistryError` for a key that none of the runs has.
    """
    facts = [(summary, _facts(summary)) for summary in summaries]
    known = set[str]().union(*(keys for _, keys in facts))
    unknown = [key for key in where if key not in known]
    if unknown and known:
        raise RegistryError(f"No run has a setting {unknown[0]!r}; known ones are {', '.join(sorted(known))}.")
    return [
        summary
        for summary, values in facts
        if all(any(_equals(value, text) for value in values.get(key, ())) for key, text in where.items())
    ]


def sort_summaries(summaries: Iterable[RunSummary], key: str, *, reverse: bool = False) -> Sorted:
    """Sort by one of `SORT_KEYS`, or by the best score of the metric `key`, the best run first.

    Scores of different protocols are never mixed. Runs measured by the most used protocol (of equally used ones the
    most recent) come first, then those measured by another, each protocol by itself, then those without a score: with
    a metric that no run has, all stay where they are. `reverse` turns the order around, within each protocol.
    """
    summaries = tuple(summaries)
    if key in _SORT_KEYS:
        return Sorted(tuple(sorted(summaries, key=_SORT_KEYS[key], reverse=reverse)))
    scored = [(score, summary) for summary in summaries for score in summary.best if score.metric == key]
    protocols = _most_used_first([score for score, _ in scored])
    placed: dict[str, RunSummary] = {}
    for protocol in protocols:
        measured = [pair for pair in scored if pair[0].protocol == protocol]
        for _, summary in sorted(measured, key=lambda pair: _badness(pair[0], reverse)):
            placed.setdefault(summary.run.id, summary)
    rest = [summary for summary in summaries if summary.run.id not in placed]
    return Sorted((*placed.values(), *rest), protocols[0] if protocols else None)


def _facts(summary: RunSummary) -> Facts:
    facts: dict[str, list[Any]] = {
        key: [value]
        for key, value in summary.run.config.items()
        if value is None or isinstance(value, str | int | float)
    }
    for role, components in groupby(summary.components, key=lambda component: component.role):
        facts[role] = []
        for component in components:
            facts[role].append(component.name)
            for option, value in component.options.items():
                facts.setdefault(f"{role}.{option}", []).append(value)
    for key in [key for key in facts if key.partition(".")[0] == "arch_g"]:
        both = f"arch_d{key.removeprefix('arch_g')}"
        facts[f"arch{key.removeprefix('arch_g')}"] = [v for v in facts[key] if v in facts.get(both, ())]
    return facts


def _equals(value: Any, text: str) -> bool:
    if value is None or isinstance(value, bool):
        return str(value).lower() == text.lower()
    if isinstance(value, int | float):
        try:
            return value == float(text)
        except ValueError:
            return False
    return str(value) == text


def _most_used_first(scores: Sequence[Score]) -> list[str]:
    """Protocols of scores, one a run, by the number of runs and then by the time of the latest."""
    uses: dict[str, list[datetime]] = {}
    for score in scores:
        if score.created is not None:
            uses.setdefault(score.protocol, []).append(score.created)
    return sorted(uses, key=lambda protocol: (len(uses[protocol]), max(uses[protocol])), reverse=True)


def _badness(score: Score, reverse: bool) -> tuple[bool, float]:
    """Key that puts the best score first (or last, in reverse), and NaN behind all."""
    sign = -1.0 if score.higher_is_better != reverse else 1.0
    return math.isnan(score.value), sign * score.value

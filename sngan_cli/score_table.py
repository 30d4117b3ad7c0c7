"""Scores of runs and of pictures beside one another, a table for each metric and protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sngan_cli import console
from sngan_cli.run_table import names_of, protocol_in_words
from sngan_registry import PictureScore, RunScore, best_first, most_used_first

AnyScore = RunScore | PictureScore

WHOSE = ("run", "name", "step", "weights", "seed")
"""What tells comparable scores apart."""
CSV = ("metric", "protocol", "protocol.name", "value", "std", *WHOSE, "against", "created")


@dataclass(frozen=True)
class Ranking:
    """Comparable scores, the best first: all that there are of a metric by a protocol."""

    metric: str
    protocol: str
    scores: Sequence[AnyScore]


def rankings(scores: Iterable[AnyScore]) -> Iterator[Ranking]:
    """Scores by metric, and by protocol within it: first that by which most runs and pictures were measured."""
    by_metric: dict[str, list[AnyScore]] = {}
    for score in scores:
        by_metric.setdefault(score.metric, []).append(score)
    for metric, found in sorted(by_metric.items()):
        for protocol in most_used_first((_scored(score), score) for score in found):
            yield Ranking(metric, protocol, best_first(score for score in found if score.protocol == protocol))


def print_rankings(found: Iterable[Ranking]) -> None:
    """Print a table for each metric and protocol, with the columns that have something to say there."""
    for k, ranking in enumerate(found):
        better = "greater" if ranking.scores[0].higher_is_better else "less"
        words = protocol_in_words(ranking.protocol, ranking.scores)
        gap = "\n" if k else ""
        console.say(f"{gap}{ranking.metric} by {words}, {better} is better", "bold")
        rows = [
            (f"{score.value:.4f}", "" if score.std is None else f"{score.std:.4f}", *_whose(score))
            for score in ranking.scores
        ]
        cells = dict(zip(("value", "std", *WHOSE), zip(*rows, strict=True), strict=True))
        if len({*cells["seed"]} - {""}) < 2:
            del cells["seed"]
        shown = {column: values for column, values in cells.items() if any(values)}
        numbers = {"value", "std", "step", "seed"}
        console.print_table(
            tuple(shown), list(zip(*shown.values(), strict=True)), right=numbers, whole={*numbers, "run", "weights"}
        )


def print_csv(found: Iterable[Ranking]) -> None:
    """Print every score, numbers in full, behind its metric and protocol."""
    rows = [
        (
            score.metric, score.protocol, "".join(names_of([score])), repr(score.value),
            "" if score.std is None else repr(score.std), *_whose(score),
            score.against if isinstance(score, PictureScore) else "", score.created and score.created.isoformat(),
        )
        for ranking in found
        for score in ranking.scores
    ]  # fmt: skip
    console.print_csv(CSV, rows)


def _whose(score: AnyScore) -> tuple[str, ...]:
    """Run, name, step, weights of the generator and seed of the latents; of pictures there is a name alone."""
    if isinstance(score, PictureScore):
        return "pictures", score.pictures, "", "", ""
    seed = str(score.evidence.get("seed", ""))
    return score.run_id, score.name or "", str(score.step), score.generator_weights, seed


def _scored(score: AnyScore) -> str:
    return score.pictures_sha256 if isinstance(score, PictureScore) else score.run_id

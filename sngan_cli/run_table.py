"""Runs as a table, a line each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sngan_cli import console
from sngan_cli.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sngan_cli.events import Scored
    from sngan_registry import Measurement, Run, RunSummary, Score


OF_PROTOCOLS = ("protocol", "protocol.name")
OF_SCORES = (*OF_PROTOCOLS, "weights")
"""What a column can say of a score beside its value, such as `is.protocol`: how and of which weights of G it is."""
_NAME = 16
"""Letters of a name that are worth more than another score."""


class RunTable:
    """Runs as rows of text."""

    DEFAULT = ("id", "name", "dataset", "arch", "loss", "cond", "step", "status")
    NUMBERS = frozenset({"step", "steps", "seed", "duration"})
    TIMES = frozenset({"created", "started", "ended"})
    OF_TRAINING = ("created", "started", "ended", "duration", "device", "host", "torch", "command")
    """Columns that are in no table unless they are asked for."""
    CUT = frozenset({"name", "dataset", "arch", "loss", "cond"})
    """Columns whose cells end in an ellipsis where a terminal has no room for them."""

    def __init__(
        self, summaries: Sequence[RunSummary], protocols: Mapping[str, Sequence[str]], columns: str | None
    ) -> None:
        """`protocols` are those of each metric, none where no run here has a score; scores by the first go unmarked.

        A metric that is called as a column of runs gives way to it.
        """
        own = {*self.DEFAULT, "age", *self.OF_TRAINING, *self.NUMBERS}
        self._protocols = {metric: found for metric, found in protocols.items() if metric not in own}
        self._summaries, self._by_default = summaries, columns is None
        self.columns = self._choose(columns)

    def rows(self, *, plain: bool = False) -> list[list[str]]:
        """Cells of every run; `plain` gives numbers in full and leaves out marks."""
        return [self._row(summary, plain) for summary in self._summaries]

    def in_full(self) -> RunTable:
        """The same table for a file: with times, and with columns that say of which protocol and weights a score is."""
        wide = [
            c
            for column in ("created" if column == "age" else column for column in self.columns)
            for c in (column, *(f"{column}.{what}" for what in OF_SCORES if column in self._metrics))
        ]
        return RunTable(self._summaries, self._protocols, ",".join(wide))

    def print(self) -> None:
        """Print the table, and what its scores are."""
        rows = self.rows()
        if self._by_default and sys.stdout.isatty() and (left_out := self._of_no_room(rows)):
            kept = ",".join(column for column in self.columns if column not in left_out)
            RunTable(self._summaries, self._protocols, kept).print()
            console.note(
                f"No room for {', '.join(left_out)}: --columns id,{','.join(left_out)} shows what was left out."
            )
            return
        right = {column for column in self.columns if column in self._metrics or column in self.NUMBERS}
        console.print_table(
            self.columns,
            rows,
            styles=STYLES,
            right=right,
            whole={*right, *self.TIMES, "id", "status", "age"},
            cut=self.CUT,
        )
        self.explain()

    def explain(self, *, plain: bool = False) -> None:
        """Say how the scores came about, and where not alike; those of other protocols have a mark, unless `plain`."""
        best = [score for summary in self._summaries for score in summary.best]
        others = set[str]()
        for metric in self.columns:
            if self._protocols.get(metric):
                protocol = protocol_in_words(self._protocols[metric][0], (s for s in best if s.metric == metric))
                console.note(f"{metric}: best of the run, by {protocol}")
                scores = [score for summary in self._summaries if (score := self._score_of(summary, metric))]
                if any(map(self._is_other, scores)):
                    others.add(metric)
                self._tell_of_weights(metric, scores)
        if others and not plain:
            console.note("* measured by another protocol, not comparable: see `sngan runs compare`")
        for metric in sorted(others if plain else ()):
            if f"{metric}.protocol" not in self.columns:
                console.note(
                    f"{metric}: some are by another protocol, not comparable: add {metric}.protocol to --columns"
                )

    def _tell_of_weights(self, metric: str, scores: Iterable[Score]) -> None:
        weights = sorted({score.generator_weights for score in scores})
        if len(weights) > 1:
            more = "" if f"{metric}.weights" in self.columns else f": --columns id,{metric},{metric}.weights tells them"
            console.note(f"{metric}: not all of the same weights of G ({'; '.join(weights)}){more}")

    def _of_no_room(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Scores after the first that a terminal's line has no room for beside names that are not cut."""
        scores = [column for column in self.columns if column in self._metrics]
        columns = zip(self.columns, *rows, strict=True)
        widths = {column[0]: max(map(console.width_of, column)) for column in columns}
        widths |= {column: min(widths[column], _NAME) for column in self.CUT & widths.keys()}
        room = console.stdout().width + 1 - sum(1 + width for width in widths.values())
        left_out: list[str] = []
        while room < 0 and scores[1:]:
            left_out.insert(0, scores.pop())
            room += 1 + widths[left_out[0]]
        return left_out

    @property
    def _metrics(self) -> set[str]:
        return {*self._protocols, "is"}

    def _choose(self, columns: str | None) -> tuple[str, ...]:
        from sngan_cli.errors import UsageError
        from sngan_registry import facts_of

        if columns is None:
            return (*self.DEFAULT, *([metric for metric, found in self._protocols.items() if found] or ("is",)), "age")
        chosen = tuple(column.strip() for column in columns.split(",") if column.strip())
        usual = (*self.DEFAULT, *sorted(self._metrics), "age", *self.OF_TRAINING)
        known = {*usual, *(f"{metric}.{what}" for metric in self._metrics for what in OF_SCORES)}
        for column in chosen:
            # Without runs nobody knows which settings there are.
            if column in known or not self._summaries or any(column in facts_of(s) for s in self._summaries):
                continue
            known = known.union(*map(facts_of, self._summaries))
            raise UsageError(f"There is no column {shortened(column)!r}.{proposed(column, known, usual)}")
        if not chosen:
            raise UsageError(f"--columns {columns!r} names none, such as --columns {','.join(self.DEFAULT)}.")
        return chosen

    def _row(self, summary: RunSummary, plain: bool) -> list[str]:
        names = {part.role: part.name for part in summary.components}
        return [self._cell(summary, names, column, plain) for column in self.columns]

    def _cell(self, summary: RunSummary, names: Mapping[str, str], column: str, plain: bool) -> str:
        from sngan_registry import duration_of, facts_of

        run = summary.run
        metric, _, what = column.partition(".")
        if metric in self._metrics:
            score = self._score_of(summary, metric)
            return "" if score is None else self._of_score(score, what, plain)
        values: list[Any]
        match column:  # the usual columns are quick, for a table of a thousand runs
            case "id" | "name" | "status":
                values = [getattr(run, column)]
            case "step":
                values = [run.step if plain or run.step == run.steps else f"{run.step}/{run.steps}"]
            case "created" | "started" | "ended" if not plain:
                values = [in_local_time(getattr(run, column))]
            case "duration" if not plain:
                seconds = duration_of(run)
                values = [None if seconds is None else in_hours(seconds)]
            case "age":
                values = [age(run.created)]
            case "cond":
                values = [run.config.get("conditional")]
            case "dataset" | "loss":
                values = [names.get(column)]
            case "arch":
                values = ["/".join(dict.fromkeys(names[role] for role in ("arch_g", "arch_d") if role in names))]
            case _:
                values = list(facts_of(summary).get(column, ()))
        return ",".join(map(text_of, values))

    def _score_of(self, summary: RunSummary, metric: str) -> Score | None:
        """The run's best score by the first of the metric's protocols that it was measured by."""
        scores = {score.protocol: score for score in summary.best if score.metric == metric}
        return next((scores[protocol] for protocol in self._protocols.get(metric, ()) if protocol in scores), None)

    def _of_score(self, score: Score, what: str, plain: bool) -> str:
        if what == "protocol":
            return score.protocol
        if what == "protocol.name":
            return "".join(names_of([score]))
        if what == "weights":
            return score.generator_weights
        return repr(score.value) if plain else f"{score.value:.3f}{'*' if self._is_other(score) else ''}"

    def _is_other(self, score: Score) -> bool:
        return score.protocol != self._protocols[score.metric][0]


STYLES = {"running": "cyan", "failed": "red", "lost": "red", "interrupted": "yellow", "finished": "green"}


def names_of(scores: Iterable[Measurement | Scored]) -> list[str]:
    """Names of the protocols that scores follow, as far as they follow any."""
    return list(dict.fromkeys(str(s.evidence["protocol name"]) for s in scores if s.evidence.get("protocol name")))


def protocol_in_words(protocol: str, scores: Iterable[Measurement | Scored]) -> str:
    """A protocol, behind the names, if any, by which some of these scores were measured so."""
    names = names_of(score for score in scores if score.protocol == protocol)
    return f"{' or '.join(names)} ({protocol})" if names else protocol


def value_in_words(score: Measurement | Scored, decimals: int = 4) -> str:
    """A score's value and, where it has one, its deviation."""
    deviation = "" if score.std is None else f" ± {score.std:.{decimals}f}"
    return f"{score.value:.{decimals}f}{deviation}"


def score_in_words(score: Measurement | Scored) -> str:
    """A score with its deviation and the protocol that it is by."""
    return f"{score.metric} = {value_in_words(score, 3)} ({score.protocol})"


def called(run: Run) -> str:
    """A run's id and, in brackets, its name if it has one."""
    return f"{run.id} ({run.name})" if run.name else run.id


def text_of(value: object) -> str:
    """Write a setting or option as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    return str(value)


def fitting(columns: Iterable[Sequence[str]], lead: int) -> list[list[Sequence[str]]]:
    """Columns, each a name and its cells, in groups that fit on a terminal's line behind `lead` letters each."""
    groups: list[list[Sequence[str]]] = []
    room = 0
    for column in columns:
        width = 1 + max(map(console.width_of, column))
        if not groups or width > room:
            groups.append([])
            room = console.stdout().width - lead
        groups[-1].append(column)
        room -= width
    return groups


def proposed(word: str, known: Iterable[str], usual: Sequence[str]) -> str:
    """Say which known columns are near a word, or the usual ones where none is; starts with a space."""
    from sngan_cli.errors import nearest

    return nearest(word, known) or f" There are {', '.join(usual)}, and all settings that `sngan runs show` prints."


def in_local_time(moment: datetime | None) -> str | None:
    """A time as the user's clock has it; None where there is none."""
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def in_hours(seconds: float) -> str:
    """A duration in its two largest units, such as 2h 05m."""
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length}{unit} {whole % length // part:02d}{smaller}"
    return f"{whole}s"


def age(moment: datetime) -> str:
    """How long ago something was, in the largest unit of which it is one at least."""
    from datetime import UTC, datetime

    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"

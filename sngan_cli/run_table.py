"""Runs as a table, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sngan_cli import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_registry import Run, RunSummary, Score


class RunTable:
    """Runs as rows of text."""

    DEFAULT = ("id", "name", "dataset", "arch", "loss", "cond", "step", "status")
    NUMBERS = frozenset({"step", "steps", "seed"})

    def __init__(self, summaries: Sequence[RunSummary], leading: Mapping[str, str], columns: str | None):
        self._summaries, self._leading = summaries, leading
        self._marked: set[str] = set()
        self.columns = self._choose(columns)

    def rows(self, *, plain: bool = False) -> list[list[str]]:
        """Cells of every run; `plain` gives numbers in full and leaves out marks."""
        return [self._row(summary, plain) for summary in self._summaries]

    def with_protocols(self) -> RunTable:
        """The same table with a column that names the protocol behind each of scores: for a file, without marks."""
        wide = [
            c
            for column in self.columns
            for c in ((column, f"{column}.protocol") if column in self._metrics else (column,))
        ]
        return RunTable(self._summaries, self._leading, ",".join(wide))

    def print(self) -> None:
        """Print the table, and under it what the scores are."""
        right = {column for column in self.columns if column in self._metrics or column in self.NUMBERS}
        console.print_table(
            self.columns,
            self.rows(),
            styles=_STYLES,
            right=right,
            whole={*right, "id", "status", "age"},
            cut={"name", "dataset", "arch"},
        )
        for metric in self.columns:
            if self._leading.get(metric):
                console.note(f"{metric}: best of the run, by {self._leading[metric]}")
        if self._marked:
            console.note("* measured by another protocol, not comparable: see `sngan runs show RUN_ID`")

    @property
    def _metrics(self) -> set[str]:
        return {*self._leading, "is"}

    def _choose(self, columns: str | None) -> tuple[str, ...]:
        from sngan_cli.errors import UsageError, did_you_mean
        from sngan_registry import facts_of

        if columns is None:
            return (*self.DEFAULT, *(self._leading or ("is",)), "age")
        chosen = tuple(column.strip() for column in columns.split(",") if column.strip())
        usual = {*self.DEFAULT, *self._metrics, *(f"{metric}.protocol" for metric in self._metrics), "age"}
        for column in chosen:
            # Without runs nobody knows which settings there are.
            if column in usual or not self._summaries or any(column in facts_of(s) for s in self._summaries):
                continue
            known = usual.union(*map(facts_of, self._summaries))
            raise UsageError(f"There is no column {column!r}.{did_you_mean(column, known)}")
        if not chosen:
            raise UsageError(f"--columns {columns!r} names none, such as --columns {','.join(self.DEFAULT)}.")
        return chosen

    def _row(self, summary: RunSummary, plain: bool) -> list[str]:
        names = {part.role: part.name for part in summary.components}
        return [self._cell(summary, names, column, plain) for column in self.columns]

    def _cell(self, summary: RunSummary, names: Mapping[str, str], column: str, plain: bool) -> str:
        from sngan_registry import facts_of

        run = summary.run
        metric, _, what = column.partition(".")
        if metric in self._metrics:
            score = self._score_of(summary, metric)
            return self._score(score, plain) if not what or score is None else score.protocol
        values: list[Any]
        match column:  # the usual columns are quick, for a table of a thousand runs
            case "id" | "name" | "status":
                values = [getattr(run, column)]
            case "step":
                values = [run.step if plain or run.step == run.steps else f"{run.step}/{run.steps}"]
            case "age":
                values = [_age(run)]
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
        scores = {score.protocol: score for score in summary.best if score.metric == metric}
        return scores.get(self._leading.get(metric, "")) or next(iter(scores.values()), None)

    def _score(self, score: Score | None, plain: bool) -> str:
        if score is None:
            return ""
        if plain:
            return repr(score.value)
        mark = "" if score.protocol == self._leading.get(score.metric, "") else "*"
        if mark:
            self._marked.add(score.metric)
        return f"{score.value:.3f}{mark}"


_STYLES = {"running": "cyan", "failed": "red", "lost": "red", "interrupted": "yellow", "finished": "green"}


def text_of(value: object) -> str:
    """Write a setting or option as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _age(run: Run) -> str:
    from datetime import UTC, datetime

    seconds = (datetime.now(UTC) - run.created).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"

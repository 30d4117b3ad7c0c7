"""Runs as a table, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_registry import Run, RunSummary, Score
    from sngan_registry.queries import Facts


class RunTable:
    """Runs as rows of text."""

    DEFAULT = ("id", "name", "dataset", "arch", "loss", "cond", "step", "status")
    NUMBERS = frozenset({"step", "steps", "seed"})

    def __init__(self, summaries: Sequence[RunSummary], leading: Mapping[str, str], columns: str | None):
        from sngan_registry import facts_of

        self._summaries, self._leading = summaries, leading
        self._cells = [facts_of(summary) for summary in summaries]
        self._marked: set[str] = set()
        self.columns = self._choose(columns)

    def rows(self, *, plain: bool = False) -> list[list[str]]:
        """Cells of every run; `plain` gives numbers in full and leaves out marks."""
        return [
            [self._cell(summary, facts, column, plain) for column in self.columns]
            for summary, facts in zip(self._summaries, self._cells, strict=True)
        ]

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

        known = dict.fromkeys([*self.DEFAULT, *sorted(self._metrics), "age"])
        known |= dict.fromkeys(f"{metric}.protocol" for metric in sorted(self._metrics))
        known |= dict.fromkeys(key for cells in self._cells for key in cells)
        if columns is None:
            return (*self.DEFAULT, *(self._leading or ("is",)), "age")
        chosen = tuple(column.strip() for column in columns.split(",") if column.strip())
        for column in chosen:
            if self._cells and column not in known:  # without runs nobody knows which settings there are
                raise UsageError(f"There is no column {column!r}.{did_you_mean(column, known)}")
        if not chosen:
            raise UsageError(f"--columns {columns!r} names none, such as --columns {','.join(self.DEFAULT)}.")
        return chosen

    def _cell(self, summary: RunSummary, facts: Facts, column: str, plain: bool) -> str:
        run = summary.run
        metric, _, what = column.partition(".")
        if metric in self._metrics:
            score = self._score_of(summary, metric)
            return self._score(score, plain) if not what or score is None else score.protocol
        match column:
            case "step" if not plain and run.step != run.steps:
                return f"{run.step}/{run.steps}"
            case "age":
                return _age(run)
            case "cond":
                column = "conditional"
            case "arch" if not facts.get("arch"):  # each network has its own
                return "/".join(text_of(value) for key in ("arch_g", "arch_d") for value in facts.get(key, ()))
        return ",".join(map(text_of, facts.get(column, ())))

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

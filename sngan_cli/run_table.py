"""Runs as a table, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sngan_cli import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_registry import Run, RunSummary


class RunTable:
    """Runs as rows of text."""

    DEFAULT = ("id", "name", "dataset", "arch", "loss", "cond", "step", "status")
    NUMBERS = frozenset({"step", "steps", "seed"})

    def __init__(self, summaries: Sequence[RunSummary], leading: Mapping[str, str], columns: str | None):
        self._summaries, self._leading = summaries, leading
        self._cells = [self._facts(summary) for summary in summaries]
        self._marked: set[str] = set()
        self.columns = self._choose(columns)

    def rows(self, *, plain: bool = False) -> list[list[str]]:
        """Cells of every run; `plain` gives scores in full and leaves out their marks."""
        return [
            [
                self._score(summary, column, plain) if column in self._metrics else text_of(cells.get(column))
                for column in self.columns
            ]
            for summary, cells in zip(self._summaries, self._cells, strict=True)
        ]

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

    def _facts(self, summary: RunSummary) -> dict[str, Any]:
        run = summary.run
        facts: dict[str, Any] = dict(run.config)
        for component in summary.components:
            facts[component.role] = component.name
            facts |= {f"{component.role}.{key}": value for key, value in component.options.items()}
        both = (facts.get("arch_g"), facts.get("arch_d"))
        facts["arch"] = both[0] if both[0] == both[1] else "/".join(map(text_of, both))
        facts |= {
            "id": run.id,
            "name": run.name,
            "cond": facts.get("conditional"),
            "step": str(run.step) if run.step == run.steps else f"{run.step}/{run.steps}",
            "status": run.status.value,
            "age": _age(run),
            "note": run.note,
            "tags": ",".join(run.tags),
            "created": run.created.isoformat(timespec="seconds"),
            "parent": run.parent,
            "host": run.environment.host,
            "reason": run.reason,
        }
        return {key: value for key, value in facts.items() if not isinstance(value, dict)}

    def _score(self, summary: RunSummary, metric: str, plain: bool) -> str:
        scores = {score.protocol: score for score in summary.best if score.metric == metric}
        if not scores:
            return ""
        protocol = self._leading.get(metric, "")
        score = scores.get(protocol) or next(iter(scores.values()))
        if plain:
            return repr(score.value)
        mark = "" if score.protocol == protocol else "*"
        if mark:
            self._marked.add(metric)
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

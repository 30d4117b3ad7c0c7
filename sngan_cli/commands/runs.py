"""`sngan runs`: what was trained, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sngan_registry import Run, RunSummary

app = typer.Typer(help="What was trained, and what came of it.", no_args_is_help=True)


class StatusName(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@app.command("list")
def list_runs(
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Runs with this component or setting; repeatable.")
    ] = None,
    status: Annotated[StatusName | None, typer.Option(help="Runs of this status.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Runs with this tag; repeatable.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="A metric such as is (best first), or id, created, name, status, step, seed (default: newest first).",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Turn the order around.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Show so many runs at most.")] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Columns: those shown by default, or any setting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print complete records as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """List runs, newest first or by score.

    Scores are sorted within one protocol (extractor, weights, images, splits): runs that were measured by another one
    follow behind, marked with a star.
    """
    from sngan_registry import Status

    with paths.open_store(create=False) as store:
        wanted = None if status is None else Status(status)
        found = store.summaries(status=wanted, tags=tag or (), where=_conditions(where))
    shown, leading = _ordered(found, sort, reverse)
    shown = shown[:limit]
    if as_json:
        console.print_json([_record(summary) for summary in shown])
        return
    table = _Table(shown, leading, columns)
    if as_csv:
        console.print_csv(table.columns, table.rows(plain=True))
        return
    if not shown:
        filtered = where or status or tag
        console.note(
            "No run matches." if filtered else "There are no runs yet: start one with `sngan train --dataset shapes`."
        )
        return
    table.print()


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Id (or unique prefix), name, @last or @best.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show everything that is known of a run: settings, components, scores with their evidence, checkpoints, events."""
    with paths.open_store(create=False) as store:
        run = store.get(run_id)
        everything: dict[str, list[dict[str, Any]]] = {
            "components": [asdict(c) for c in store.components(run.id)],
            "scores": [asdict(s) for s in store.scores(run.id)],
            "checkpoints": [asdict(c) for c in store.checkpoints(run.id)],
            "artifacts": [asdict(a) for a in store.artifacts(run.id)],
            "events": [asdict(e) for e in store.events(run.id)],
            "scalars": [asdict(s) for s in store.scalars(run.id)],
        }
    if as_json:
        console.print_json({**asdict(run), **everything})
    else:
        _show(run, everything)


def _conditions(where: Iterable[str] | None) -> dict[str, str]:
    from sngan_cli.errors import UsageError

    conditions = {}
    for condition in where or ():
        key, equals, value = condition.partition("=")
        if not (equals and key.strip()):
            raise UsageError(f"--where {condition!r} is not KEY=VALUE, such as --where dataset=stl10.")
        conditions[key.strip()] = value.strip()
    return conditions


def _ordered(
    found: Sequence[RunSummary], sort: str | None, reverse: bool
) -> tuple[Sequence[RunSummary], dict[str, str]]:
    """The runs in order, and for each metric the protocol whose scores go unmarked."""
    from sngan_cli.errors import UsageError, did_you_mean
    from sngan_registry import SORT_KEYS, sort_summaries

    metrics = dict.fromkeys(score.metric for summary in found for score in summary.best)
    leading = {metric: sort_summaries(found, metric).protocol or "" for metric in metrics}
    if sort is None:
        return (found[::-1] if reverse else found), leading
    known = [*SORT_KEYS, *metrics, "is"]
    if sort not in known:
        raise UsageError(f"Runs cannot be sorted by {sort!r}.{did_you_mean(sort, known)}")
    return sort_summaries(found, sort, reverse=reverse).summaries, leading


def _record(summary: RunSummary) -> dict[str, Any]:
    return {**vars(summary.run), "components": summary.components, "best": summary.best, "last": summary.last}


class _Table:
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
                self._score(summary, column, plain) if column in self._metrics else _text(cells.get(column))
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
        facts["arch"] = both[0] if both[0] == both[1] else "/".join(map(_text, both))
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


def _text(value: object) -> str:
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


def _show(run: Run, everything: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    environment = run.environment
    _section(
        f"run {run.id}",
        [
            ("name", run.name),
            ("status", run.status.value + (f": {run.reason}" if run.reason else "")),
            ("step", f"{run.step} of {run.steps}"),
            ("parent", run.parent),
            ("tags", ", ".join(run.tags)),
            ("note", run.note),
            ("created", _time(run.created)),
            ("started", _time(run.started)),
            ("ended", _time(run.ended)),
            ("command", environment.command),
            ("host", f"{environment.host}, {environment.device}"),
            ("versions", f"sngan {environment.sngan}, torch {environment.torch}, python {environment.python}"
                         + (f", CUDA {environment.cuda}" if environment.cuda else "")),
            ("git", environment.git_commit),
            ("folder", str(paths.runs_folder() / run.id)),
        ],
    )  # fmt: skip
    plain = {key: value for key, value in run.config.items() if not isinstance(value, dict)}
    _section("settings", [(key, _text(value)) for key, value in plain.items()])
    _section(
        "components",
        [
            (c["role"], f"{c['name']}  ({c['distribution']} {c['version']})  {_options(c['options'])}".rstrip())
            for c in everything["components"]
        ],
    )
    for score in everything["scores"]:
        deviation = "" if score["std"] is None else f" ± {score['std']:.4f}"
        rows = [("value", f"{score['value']:.4f}{deviation}"), ("protocol", score["protocol"])]
        _section(f"score {score['metric']} at step {score['step']}", [*rows, *_pairs(score["evidence"])])
    _section("losses", _last_scalars(everything["scalars"]))
    _section(
        "checkpoints",
        [
            (f"step {c['step']}", f"deleted {_time(c['deleted'])}" if c["deleted"] else
             f"{c['path']}  {c['size'] / 2**20:.1f} MiB  sha256 {c['sha256'][:12]}")
            for c in everything["checkpoints"]
        ],
    )  # fmt: skip
    _section("artifacts", [(a["kind"], a["path"]) for a in everything["artifacts"]])
    _section(
        "events",
        [(_time(e["created"]), (f"step {e['step']}: " if e["step"] is not None else "") + e["message"])
         for e in everything["events"]],
    )  # fmt: skip


def _section(title: str, rows: Sequence[tuple[str | None, str | None]]) -> None:
    from rich.table import Table
    from rich.text import Text

    rows = [(key, value) for key, value in rows if value]
    if not rows:
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(f"  {key}", style="dim"), Text(value or ""))
    out = console.stdout()
    out.print(Text(title, style="bold"))
    out.print(table)
    out.print()


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _text(value)) for key, value in values.items()]


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_text(value)}" for key, value in options.items() if value is not None)


def _last_scalars(scalars: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    last = {scalar["name"]: scalar for scalar in scalars}
    return [(name, f"{scalar['value']:.4f} at step {scalar['step']}") for name, scalar in last.items()]


def _time(moment: Any) -> str | None:
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

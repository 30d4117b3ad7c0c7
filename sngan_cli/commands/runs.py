"""`sngan runs`: what was trained, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.archive import export, import_
from sngan_cli.commands.doctor import doctor
from sngan_cli.commands.housekeeping import gc, name, note, restore, rm, tag
from sngan_cli.commands.options import AsJson, RecordsAsJson, RunId, RunIds, given, path_option
from sngan_cli.commands.watch import watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sngan_cli.comparison import Compared, Measured
    from sngan_registry import Run, RunSummary, Store

app = typer.Typer(help=COMMANDS["runs"], no_args_is_help=True, add_completion=False)

StatusName = Literal["queued", "running", "finished", "failed", "interrupted", "lost"]
"""The registry's `Status`, whose import would slow down the program's help."""


@app.command("list")
def list_runs(
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Runs with this component or setting; repeatable.")
    ] = None,
    status: Annotated[StatusName | None, typer.Option(help="Runs of this status.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Runs with this tag; repeatable.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            parser=given,
            help="A metric such as is (best first, protocol by protocol), or any column (default: newest first).",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Turn the order around.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Show so many runs at most.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Columns: those shown by default, or any setting.")
    ] = None,
    as_json: RecordsAsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """List runs, newest first or by score.

    Scores are sorted within one protocol (extractor, weights, images, splits): runs that were measured by another one
    follow behind, marked with a star.
    """
    from sngan_cli.errors import UsageError
    from sngan_cli.run_folder import to_take_in
    from sngan_cli.run_table import RunTable
    from sngan_registry import Status

    if as_json and as_csv:
        raise UsageError("--json and --csv cannot be printed at once: give one of them.")
    wanted = None if status is None else Status(status)
    with paths.open_store(create=False) as store:
        found = store.summaries(status=wanted, tags=tag or (), where=_conditions(where))
        nothing_recorded = not (found or store.summaries(limit=1))
    shown, protocols = _ordered(found, sort, reverse, limit)
    if as_json:
        console.print_json([_record(summary) for summary in shown])
        return
    table = RunTable(shown, protocols, columns)
    if as_csv:
        if columns is None:
            table = table.in_full()
        console.print_csv(table.columns, table.rows(plain=True))
        table.explain(plain=True)
        return
    if not shown:
        if not nothing_recorded:
            console.note("No run matches.")
            return
        console.note(f"{paths.nothing_in(store, 'runs')}: start one with `sngan train --dataset shapes`.")
        if hint := to_take_in(paths.runs_folder()):
            console.note(hint)
        return
    table.print()


@app.command()
def show(
    run_id: RunId,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show everything that is known of a run: settings, components, scores with their evidence, checkpoints, events."""
    from sngan_cli.run_checkpoints import checkpoints_of
    from sngan_cli.run_details import Recorded, print_run

    with paths.open_store(create=False) as store:
        run = store.get(run_id)
        recorded = Recorded(
            components=store.components(run.id),
            scores=store.scores(run.id),
            checkpoints=checkpoints_of(store, run, paths.runs_folder()),
            artifacts=store.artifacts(run.id),
            events=store.events(run.id),
            scalars=store.scalars(run.id),
        )
    if as_json:
        console.print_json({**asdict(run), **asdict(recorded)})
    else:
        print_run(run, recorded)


def _conditions(where: Iterable[str] | None) -> dict[str, str]:
    from sngan_cli.errors import UsageError

    conditions = {}
    for condition in where or ():
        key, equals, value = condition.partition("=")
        if not (equals and key.strip()):
            raise UsageError(f"--where {condition!r} is not KEY=VALUE, such as --where dataset=stl10.")
        if key.strip() in conditions:
            raise UsageError(f"--where {key.strip()} is given twice, and a run has one value: leave one out.")
        conditions[key.strip()] = value.strip()
    return conditions


def _ordered(
    found: Sequence[RunSummary], sort: str | None, reverse: bool, limit: int | None
) -> tuple[Sequence[RunSummary], dict[str, list[str]]]:
    """The first runs in order, and their protocols by metric: first the one whose scores go unmarked.

    The metric that is sorted by comes first, then those by which most of these runs choose their best checkpoint. One
    without scores has no protocol.
    """
    from collections import Counter

    from sngan_cli.errors import UsageError
    from sngan_cli.run_table import OF_PROTOCOLS, RunTable, proposed
    from sngan_cli.wording import shortened
    from sngan_registry import facts_of, sort_summaries

    sort = {"age": "created", "cond": "conditional"}.get(sort, sort) if sort else sort
    metrics = {score.metric for summary in found for score in summary.best}
    metric, _, what = (sort or "").partition(".")
    if metric in {*metrics, "is"} and what in OF_PROTOCOLS:
        sort = metric  # runs that are sorted by score have one protocol after the other
    if sort and found and sort not in {*metrics, "is"} and not any(sort in facts_of(summary) for summary in found):
        usual = (*sorted(metrics), *RunTable.DEFAULT, "age", *RunTable.OF_TRAINING)
        known = {*metrics, "is"}.union(*map(facts_of, found))
        raise UsageError(f"Runs cannot be sorted by {shortened(sort)!r}.{proposed(sort, known, usual)}")
    if sort:
        shown = sort_summaries(found, sort, reverse=reverse).summaries[:limit]
    else:
        shown = tuple(found[::-1] if reverse else found)[:limit]
    first = Counter(next(iter(summary.run.config.get("metrics", {})), "") for summary in shown)
    protocols = {}
    for metric in sorted(metrics, key=lambda metric: (metric != sort, -first[metric], metric)):
        there = {score.protocol for summary in shown for score in summary.best if score.metric == metric}
        protocols[metric] = [p for p in sort_summaries(found, metric).protocols if p in there]
    return shown, protocols


def _record(summary: RunSummary) -> dict[str, Any]:
    return {**vars(summary.run), "components": summary.components, "best": summary.best, "last": summary.last}


@app.command()
def compare(
    run_ids: RunIds,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this metric; refused where the runs share no protocol.")
    ] = None,
    as_json: RecordsAsJson = False,
) -> None:
    """Compare runs: the settings and versions that differ, and best and last scores, within one protocol each.

    Where a protocol measured some of the runs only, it is said which, and how to measure the others.
    """
    from sngan_cli.comparison import differing_settings, differing_versions, measured, metrics_of
    from sngan_cli.errors import NotFoundError, UsageError, did_you_mean
    from sngan_cli.run_comparison import no_common_protocol, print_comparison
    from sngan_cli.run_table import names_of
    from sngan_cli.wording import shortened

    compared = _compared(run_ids)
    metrics = metrics_of((c.run for c in compared), (score for c in compared for score in c.scores))
    if metric is not None:
        if metric not in metrics:
            known = did_you_mean(metric, metrics)
            raise NotFoundError(
                f"None of these runs has a score {shortened(metric)!r}.{known} `sngan evaluate` measures others."
            )
        metrics = [metric]
    found = {name: measured(compared, name) for name in metrics}
    if metric is not None and all(block.missing for block in found[metric]):
        raise UsageError(no_common_protocol(compared, metric, found[metric]))
    if not as_json:
        print_comparison(compared, found)
        return
    console.print_json({
        "runs": [{**vars(c.run), "components": c.components, "scores": c.scores} for c in compared],
        "settings": differing_settings(c.run for c in compared),
        "versions": differing_versions(compared),
        "measured": [
            {**vars(block), "names": names_of(block.scores), **_proposed(block, compared)}
            for blocks in found.values()
            for block in blocks
        ],
    })  # fmt: skip


@app.command()
def diff(
    run_ids: RunIds,
    as_json: AsJson = False,
) -> None:
    """Print the settings, options and versions in which runs differ, and nothing else of them."""
    from sngan_cli.comparison import differing_settings, differing_versions
    from sngan_cli.run_comparison import print_differences

    compared = _compared(run_ids)
    if not as_json:
        print_differences(compared)
        return
    settings = differing_settings(each.run for each in compared)
    console.print_json({"settings": settings, "versions": differing_versions(compared)})


def _proposed(block: Measured, compared: Sequence[Compared]) -> dict[str, Any]:
    """The commands that measure what a protocol has not, None where no protocol by name is it, and refusals by run."""
    from sngan_cli.proposals import proposals_to_measure

    found = proposals_to_measure(block, compared)
    commands = None if found is None else [p.command for p in found if p.refusal is None]
    return {"commands": commands, "refused": {p.run.id: p.refusal for p in found or () if p.refusal is not None}}


def _different(store: Store, refs: Sequence[str]) -> list[Run]:
    """The runs that are meant, each once; raises `UsageError` where they are one."""
    from sngan_cli.errors import UsageError

    found = [(ref, store.get(ref)) for ref in refs]
    runs = {run.id: run for _, run in found}
    for id_ in runs:
        names = [repr(ref) for ref, run in found if run.id == id_]
        if len(runs) == 1:
            raise UsageError(f"{' and '.join(names)} are one run, {id_}: give another to compare it with.")
        if len(names) > 1:
            console.note(f"{' and '.join(names)} are one run, {id_}, which is shown once.")
    return list(runs.values())


def _compared(refs: Sequence[str]) -> list[Compared]:
    """All that is compared of two runs or more."""
    from sngan_cli.comparison import Compared
    from sngan_cli.errors import UsageError
    from sngan_cli.run_checkpoints import checkpoints_of

    if len(refs) < 2:
        raise UsageError(f"There is nothing to compare {refs[0]!r} with: give two runs at least.")
    with paths.open_store(create=False) as store:
        return [
            Compared(
                run,
                store.components(run.id),
                store.scores(run.id),
                sum(each.deleted is None for each in checkpoints_of(store, run, paths.runs_folder())),
            )
            for run in _different(store, refs)
        ]


@app.command()
def plot(
    run_ids: RunIds,
    output: Annotated[Path, path_option("--output", "-o", help="Plot to write: .png, .svg or .pdf.")],
    what: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            parser=given,
            help="A metric such as fid (default: the runs' first), losses (of D and G), or one curve such as loss_d.",
        ),
    ] = None,
) -> None:
    """Draw scores or losses of runs over their steps, laid over one another; prints the plot's path."""
    from sngan_cli.outputs import check_output
    from sngan_cli.plots import FORMATS, Curves, first_curve
    from sngan_cli.plots import plot as draw

    check_output(output, FORMATS)
    with paths.open_store(create=False) as store:
        curves = [Curves(run, store.scalars(run.id), store.scores(run.id)) for run in store.get_each(run_ids)]
    draw(curves, what or first_curve(curves), output)
    typer.echo(str(output))


for command in (doctor, watch, tag, note, name, export, import_, rm, restore, gc):
    app.command(command.__name__.removesuffix("_"))(command)

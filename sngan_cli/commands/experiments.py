"""`sngan experiments`: tables of runs, trained case by case and reported beside what was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import AsJson, DataDir, given_path, path_option

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sngan_cli.config import Layer
    from sngan_cli.experiments.experiment import Case, Experiment
    from sngan_cli.experiments.plan import Planned
    from sngan_cli.paths import Place
    from sngan_registry import Store

app = typer.Typer(help=COMMANDS["experiments"], no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Experiment by name, or the path of a TOML file of yours.")]
Steps = Annotated[int | None, typer.Option(min=0, metavar="N", help="Generator updates, in place of the experiment's.")]
DataSet = Annotated[str | None, typer.Option(metavar="NAME", help="Data set, in place of the experiment's.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting of all cases, such as arch.width=0.125."),
]


@app.command("list")
def list_experiments(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", parser=given_path, help="Folder with experiments of yours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments that come with sngan, and those in a folder of yours."""
    from sngan_cli.experiments.experiment import built_in, load

    found = [(name, load(name)) for name in built_in()]
    if folder is not None:
        from sngan_cli.errors import NotFoundError, UsageError

        own = [folder] if folder.is_file() else sorted(folder.glob("*.toml"))
        if not own:
            raise NotFoundError(f"There is no experiment in {str(folder)!r}: files that end in .toml are looked for.")
        for path in own:
            try:
                found.append((str(path), load(str(path))))
            except UsageError as error:
                console.note(f"left out: {error}")
    with paths.open_store(create=False) as store:
        runs = [len(store.summaries(tags=[f"experiment:{experiment.name}"])) for _, experiment in found]
    if as_json:
        records = [
            {"name": name, "title": experiment.title, "cases": len(experiment.cases), "runs": count}
            for (name, experiment), count in zip(found, runs, strict=True)
        ]
        console.print_json(records)
        return
    rows = [[name, str(len(e.cases)), str(count or ""), e.title] for (name, e), count in zip(found, runs, strict=True)]
    console.print_table(("name", "cases", "runs", "title"), rows, right={"cases", "runs"}, whole={"name"})


@app.command()
def show(
    name: Name,
    as_json: AsJson = False,
) -> None:
    """Show an experiment: what is fixed, what changes from case to case, and what was published."""
    from sngan_cli.config import flat
    from sngan_cli.experiments.experiment import load
    from sngan_cli.experiments.plan import plan
    from sngan_cli.run_table import text_of

    experiment = load(name)
    with paths.open_store(create=False) as store:
        plan(experiment, (), (), (), store)  # says so where a case cannot be composed
    if as_json:
        console.print_json(_record(experiment))
        return
    typer.echo(f"{experiment.name}: {experiment.title}")
    for line in (experiment.source, experiment.note.replace("\n", " ")):
        if line:
            typer.echo(line)
    typer.echo("\nfixed")
    fixed = {key: text_of(value) for key, value in flat(experiment.fixed.values).items()}
    fixed["seeds"] = ", ".join(map(str, experiment.seeds))
    width = max(map(len, fixed)) + 2
    for key, value in fixed.items():
        typer.echo(f"  {key.ljust(width)}{value}")
    typer.echo("")
    metrics = list(dict.fromkeys(metric for case in experiment.cases for metric in case.published))
    rows = [
        [case.name, *_conditions(experiment, case), *(_number(case.published.get(metric)) for metric in metrics)]
        for case in experiment.cases
    ]
    published = [f"published {metric}" for metric in metrics]
    _print_in_parts(("case", *experiment.conditions(), *published), rows, lead=1, right=published)
    if metrics and experiment.measured:
        console.note(f"published: {experiment.measured}")


@app.command()
def run(
    name: Name,
    case: Annotated[
        list[str] | None, typer.Option(metavar="K", help="Train this case only; repeatable (default: all).")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(min=0, metavar="N", help="Seed of every case; repeatable (default: the experiment's)."),
    ] = None,
    steps: Steps = None,
    dataset: DataSet = None,
    data_dir: DataDir = None,
    set_: Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained and what would fail, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what --dry-run says as JSON.")] = False,
) -> None:
    """Train the cases that have no finished run yet, one after another; run ids are printed on stdout.

    Ctrl-C ends the step and saves. Given again, the same command goes on where it stopped: finished cases are kept, an
    interrupted one is resumed. A case that diverges is recorded as such and not tried again, and the next one begins;
    the exit code is 5 as long as there is one.
    """
    from sngan_cli.errors import DivergedError, UsageError
    from sngan_cli.experiments.experiment import load
    from sngan_cli.experiments.plan import alike, plan, refreshed

    if as_json and not dry_run:
        raise UsageError("--json prints what --dry-run says: give both, or leave it out.")
    experiment = load(name)
    overrides = _overrides(experiment, steps, dataset, data_dir, set_)
    from sngan_cli.experiments.runner import check_some, train_missing

    with paths.open_store(create=False) as store:
        planned = plan(experiment, case or (), seed or (), overrides, store)
        if dry_run:
            raise typer.Exit(_try(experiment, planned, paths.place(store), as_json=as_json))
    check_some(planned, paths.cache_folder())
    with paths.open_store(create=True) as store:
        for one, other in alike(planned):
            console.warn(f"Cases {one} and {other} have the same settings, and would be trained alike.")
        code = train_missing(experiment, planned, overrides, paths.place(store))
        now = refreshed(planned, store)
        _print_outcome(experiment, now, store)
    diverged = DivergedError.exit_code if any(item.state == "diverged" for item in now) else 0
    raise typer.Exit(code or diverged)


def _try(experiment: Experiment, planned: Sequence[Planned], place: Place, *, as_json: bool) -> int:
    """Say what would be trained and what would fail; returns the exit code."""
    from sngan_cli.experiments.runner import unfit

    if not as_json:
        _print_plan(experiment, planned)
    failing = unfit(planned, place)
    if as_json:
        console.print_json([
            {**row, "fails": str(failing[item.label]) if item.label in failing else None}
            for item, row in zip(planned, _plan(experiment, planned), strict=True)
        ])  # fmt: skip
    for message in dict.fromkeys(map(str, failing.values())):
        labels = [label for label, error in failing.items() if str(error) == message]
        console.warn(f"{'; '.join(labels)} would fail: {message}")
    return max((error.exit_code for error in failing.values()), default=0)


@app.command()
def report(
    name: Name,
    output: Annotated[
        Path | None, path_option("--output", "-o", metavar="FOLDER", help="Folder to write to (default: NAME-report).")
    ] = None,
    steps: Steps = None,
    dataset: DataSet = None,
    data_dir: DataDir = None,
    set_: Set = None,
) -> None:
    """Report on an experiment as the article does, in Markdown and HTML; prints the paths of both.

    Conditions, scores beside the published ones, curves, and samples beside interpolations of every case. The runs are
    those of the experiment as it stands, or those made with the overrides that are given here again.
    """
    from sngan_cli.bars import progress
    from sngan_cli.experiments.experiment import load
    from sngan_cli.experiments.report import write
    from sngan_cli.experiments.results import collect, other_series

    experiment = load(name)
    overrides = _overrides(experiment, steps, dataset, data_dir, set_)
    folder = output or Path(f"{experiment.name}-report")
    with paths.open_store(create=False) as store, progress("drawing figures") as report_figures:
        results = collect(experiment, overrides, store)
        written = write(experiment, results, store, paths.runs_folder(), folder, progress=report_figures)
        others = other_series(experiment, results, store)
    for command in others:
        console.note(
            f"not in this report: runs with other settings, by `{command}`; to report on them give the same --steps, "
            "--dataset, --data-dir and --set"
        )
    typer.echo(f"{written.markdown}\n{written.html}")


def _overrides(
    experiment: Experiment, steps: int | None, dataset: str | None, data_dir: Path | None, set_: Sequence[str] | None
) -> list[Layer]:
    from sngan_cli.config import Layer, parse_set
    from sngan_cli.errors import UsageError

    given = {"steps": steps, "dataset": dataset, "data_dir": data_dir and str(data_dir.absolute())}
    layers = [
        parse_set(set_ or ()),
        Layer("the command line", {key: value for key, value in given.items() if value is not None}),
    ]
    if "seed" in layers[0].values:
        raise UsageError(f"--set seed={layers[0].values['seed']} would train all seeds alike: give --seed instead.")
    experiment.check(layers)
    return layers


def _conditions(experiment: Experiment, case: Case) -> list[str]:
    from sngan_cli.config import flat
    from sngan_cli.run_table import text_of

    own = flat(case.settings.values)
    return [text_of(own.get(key)) for key in experiment.conditions()]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _plan(experiment: Experiment, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """What would be trained, a row a run."""
    todo = {
        "new": "train",
        "interrupted": "resume",
        "unscored": "score",
        "finished": "keep",
        "diverged": "keep",
        "running": "leave",
    }
    return [
        {
            "case": item.case.name,
            "seed": item.seed,
            "to_do": todo[item.state],
            "status": item.state if item.run else None,
            "run": item.run.id if item.run else None,
            "settings": item.settings(experiment),
        }
        for item in planned
    ]


def _print_plan(experiment: Experiment, planned: Sequence[Planned]) -> None:
    from sngan_cli.run_table import text_of

    known = ("case", "seed", "to_do", "status", "run")
    rows = [
        [*(str("" if row[key] is None else row[key]) for key in known), *map(text_of, row["settings"].values())]
        for row in _plan(experiment, planned)
    ]
    heads = [key.replace("_", " ") for key in known]
    _print_in_parts((*heads, *experiment.conditions()), rows, lead=len(heads))


def _print_in_parts(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, lead: int, right: Collection[str] = ()
) -> None:
    """Print a table in as many parts as it takes for lines to fit, one below the other, each with the first columns."""
    from sngan_cli.run_table import fitting

    columns = list(zip(heads, *rows, strict=True))
    before = columns[:lead]
    width = sum(1 + max(map(console.width_of, column)) for column in before) - 1
    for number, group in enumerate(fitting(columns[lead:], lead=width) or [[]]):
        if number:
            console.say("")
        shown, *lines = zip(*before, *group, strict=True)
        console.print_table(shown, lines, right=right, whole=shown)


def _print_outcome(experiment: Experiment, planned: Sequence[Planned], store: Store) -> None:
    """What there is by now, on stderr: the run ids have gone to stdout."""
    from sngan_cli.experiments.results import scores_of

    for item in planned:
        where = f"{experiment.name} {item.label}"
        if item.run is None:
            console.note(f"{where}: not trained")
            continue
        said = "".join(f", {scores}" for scores in scores_of(store, item.run, item.case))
        console.note(f"{where}: {item.state}, step {item.run.step}, run {item.run.id}{said}")


def _record(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name, "title": experiment.title, "source": experiment.source, "note": experiment.note,
        "measured": experiment.measured, "seeds": experiment.seeds, "fixed": experiment.fixed.values,
        "cases": [
            {"case": case.name, "settings": case.settings.values, "published": case.published, "note": case.note}
            for case in experiment.cases
        ],
    }  # fmt: skip

"""`sngan scores`: everything that was measured, in order."""

from __future__ import annotations

from typing import Annotated

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import RecordsAsJson, Yes

app = typer.Typer(help=COMMANDS["scores"], no_args_is_help=True, add_completion=False)


@app.command("list")
def list_scores(
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Only this metric.")] = None,
    as_json: RecordsAsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the scores as CSV.")] = False,
) -> None:
    """List the scores of all runs and of all pictures that were scored: best first, within one protocol each.

    Values by different protocols (extractor, weights, images, splits, real images) are not comparable.
    """
    from sngan_cli.errors import NotFoundError, UsageError, no_such
    from sngan_cli.run_folder import to_take_in
    from sngan_cli.score_table import print_csv, print_rankings, rankings

    if as_json and as_csv:
        raise UsageError("--json and --csv cannot be printed at once: give one of them.")
    with paths.open_store(create=False) as store:
        found = list(rankings([*store.run_scores(), *store.picture_scores.all()]))
        has_runs = bool(found or store.summaries(limit=1))
    metrics = {ranking.metric for ranking in found}
    if metric is not None and found and metric not in metrics:
        raise NotFoundError(no_such("score", metric, metrics))
    found = [ranking for ranking in found if metric in (None, ranking.metric)]
    if as_json:
        console.print_json([score for ranking in found for score in ranking.scores])
    elif as_csv:
        print_csv(found)
    elif found:
        print_rankings(found)
    else:
        console.note(f"{paths.nothing_in(store, 'scores')}: `sngan evaluate` measures runs and pictures.")
        if not has_runs and (hint := to_take_in(paths.runs_folder())):
            console.note(hint)


@app.command()
def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of pictures, as `sngan scores list` has it.")],
    yes: Yes = False,
) -> None:
    """Remove the scores of pictures; those of runs belong to the runs, and stay."""
    from sngan_cli.errors import NotFoundError, did_you_mean
    from sngan_cli.wording import counted, shortened

    with paths.open_store(create=False) as store:
        scores = store.picture_scores.all()
        known = [score.pictures for score in scores]
        if name not in known:
            raise NotFoundError(f"There are no pictures {shortened(name)!r} with scores.{did_you_mean(name, known)}")
        what = f"{counted(known.count(name), 'score')} of {name!r}"
        if (sets := len({score.pictures_sha256 for score in scores if score.pictures == name})) > 1:
            what = f"{what}, which are of {sets} sets of pictures"
        console.confirm(f"Remove the {what}?", f"Removing the {what}", yes=yes)
        store.picture_scores.remove(name)
    console.note(f"Removed the {what}.")

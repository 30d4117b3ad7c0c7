"""`sngan runs watch`: a run that another process trains."""

from __future__ import annotations

from typing import Annotated

import typer

from sngan_cli import paths
from sngan_cli.commands.options import RunId


def watch(
    run_id: RunId = "@last",
    interval: Annotated[
        float, typer.Option(min=0.05, max=3600, metavar="SECONDS", help="Time between looks at the registry.")
    ] = 2,
) -> None:
    """Follow a run that another process trains, until it ends; exits as its training did.

    0: it finished, 1: it failed or was lost, 5: it diverged, 75: it was stopped and can be resumed.
    """
    from sngan_cli.run_watching import watch as watch_run

    with paths.open_store(create=False) as store:
        code = watch_run(store, store.get(run_id).id, interval)
    raise typer.Exit(code)

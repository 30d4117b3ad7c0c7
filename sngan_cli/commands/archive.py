"""`sngan runs export | import`: runs as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sngan_cli import paths
from sngan_cli.commands.options import AsJson, RunIds, given_path, path_option
from sngan_cli.commands.taken import tell_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sngan_registry import Run, Store


def export(
    run_ids: RunIds,
    output: Annotated[Path, path_option("--output", "-o", help="New file to write: .zip.")],
    checkpoint: Annotated[
        str, typer.Option(metavar="WHICH", help="Checkpoints that go along: best, last, a step, or all.")
    ] = "all",
) -> None:
    """Write runs, records and files, to one file, for `sngan runs import` elsewhere; prints its path."""
    from sngan_cli.bars import progress
    from sngan_cli.errors import UsageError
    from sngan_cli.outputs import check_output
    from sngan_cli.run_archive import pack

    check_output(output, (".zip",))
    if output.exists():
        raise UsageError(f"{output} exists already: name a new file.")
    with paths.open_store(create=False) as store:
        chosen = [(run, _steps(store, run, checkpoint)) for run in store.get_each(run_ids)]
        with progress("packing files") as report:
            pack(store, chosen, output, report)
    typer.echo(str(output))


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=given_path, help="What `sngan runs export` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Take in the runs of a file that `sngan runs export` wrote, with their ids, scores, curves and files.

    Runs that are there stay as they are. Where the registry has a run, and its files lie on another machine, they are
    put here. Exits with 1 where a run was not taken in.
    """
    from sngan_cli.bars import progress
    from sngan_cli.errors import NotFoundError
    from sngan_cli.run_archive import unpack

    if not file.is_file():
        raise NotFoundError(f"There is no file {file}: give what `sngan runs export` wrote.")
    with paths.open_store(create=True) as store, progress("unpacking files") as report:
        done = list(unpack(store, file, report))
    _, refused = tell_taken(done, as_json=as_json)
    raise typer.Exit(1 if refused else 0)


def _steps(store: Store, run: Run, which: str) -> Sequence[int]:
    """Steps of the checkpoints that are meant."""
    from sngan_cli.engine.checkpoint_folder import steps_in

    if which == "all":
        recorded = {each.step for each in store.checkpoints(run.id) if each.deleted is None}
        return sorted({*steps_in(paths.runs_folder() / run.id / "checkpoints")} | recorded)
    from sngan_cli.trained import verified_checkpoint

    return [verified_checkpoint(store, run, paths.runs_folder(), which).step]

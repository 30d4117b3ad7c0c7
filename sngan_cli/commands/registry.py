"""`sngan registry`: where runs are recorded, and the care of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import AsJson, given_path, path_option
from sngan_cli.commands.taken import tell_taken

if TYPE_CHECKING:
    from sngan_cli.registry_check import Report

app = typer.Typer(help=COMMANDS["registry"], no_args_is_help=True, add_completion=False)


@app.command()
def path() -> None:
    """Print the registry's file or URL (a password in it is hidden)."""
    typer.echo(paths.registry_name())


@app.command()
def upgrade() -> None:
    """Bring an older registry's schema up to date, after a backup; any command that opens it does so, too."""
    with paths.open_store(create=False) as store:
        upgraded, revision = store.upgraded, store.revision
    if revision is None:
        console.note(f"{paths.nothing_in(store, 'runs')}: what is recorded first makes it.")
    elif upgraded is None:
        console.say(f"{paths.registry_name()} is up to date: schema {revision}.")
    else:
        console.say(f"{paths.registry_name()} was brought from schema {upgraded.before} to {revision}.")
        console.note(
            f"As it was before, it is in {upgraded.backup}."
            if upgraded.backup
            else "No backup was made: it is no file."
        )


@app.command()
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", parser=given_path, help="New file (default: beside the registry, called by the time)."
        ),
    ] = None,
) -> None:
    """Copy the registry, whole even while runs write to it, and verify the copy; prints its path.

    It holds what is recorded, not the files of runs. To go back to it, put it in the registry's place. First move
    away the registry with its files that end in -journal, -wal and -shm: they would be written into the backup.
    """
    from sngan_cli.registry_backup import back_up_registry

    typer.echo(str(back_up_registry(file)))


@app.command()
def check(
    hashes: Annotated[bool, typer.Option("--hashes", help="Compare the SHA-256 of every file, not only its size.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """Look whether the registry is sound and its files are there as they were recorded; changes nothing.

    Exits with 4 where something is wrong.
    """
    from sngan_cli.registry_check import check as look

    report = look(hashes=hashes)
    if as_json:
        console.print_json({**vars(report), "is_well": not report.faults, "hashes": hashes})
    else:
        _print_report(report, hashes=hashes)
    raise typer.Exit(4 if report.faults else 0)


@app.command()
def rebuild(
    runs: Annotated[
        Path | None, path_option(metavar="FOLDER", help="Where the runs' folders lie (default: in $SNGAN_HOME).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a damaged registry is moved.")] = False,
    as_json: AsJson = False,
) -> None:
    """Record the runs and trained extractors that lie here and that the registry does not know.

    Runs are taken in as their folders describe them, with ids, scores and curves; those that are there stay as they
    are, but for those whose folder tells how they went on. A registry that is damaged is moved aside first, and
    kept. Exits with 1 where a folder was of no use.
    """
    from sngan_cli.bars import progress
    from sngan_cli.errors import NotFoundError
    from sngan_cli.registry_rebuild import rebuild as take_in
    from sngan_cli.registry_rebuild import something_to_take, unknown_folders

    folder = runs or paths.runs_folder()
    if runs is not None and not runs.is_dir():
        raise NotFoundError(f"The folder of runs {runs} does not exist: give the one whose folders bear the runs' ids.")
    moved = _make_room(yes=yes)
    if moved is None and not something_to_take(folder):
        console.note(f"There is nothing to take in: no run lies in {folder}, and no trained extractor here.")
        if as_json:
            console.print_json({"moved": None, "taken": [], "refused": []})
        return
    with paths.open_store(create=True) as store, progress("reading folders") as report:
        done = list(take_in(store, folder, report))
        removed = unknown_folders(store, paths.trashed_runs_folder())
    taken, refused = tell_taken(done, as_json=as_json, moved=moved)
    if taken and folder.resolve() != paths.runs_folder().resolve():
        console.note(f"To draw from these runs or go on with them, put their folders into {paths.runs_folder()}.")
    for each in removed:
        console.note(f"The removed run in {each} stays out: move it to {paths.runs_folder()} to have it taken in.")
    raise typer.Exit(1 if refused else 0)


def _print_report(report: Report, *, hashes: bool) -> None:
    from sngan_cli.registry_check import ANEW
    from sngan_cli.wording import counted

    red = {each.what: "red" for each in report.faults}
    for number, findings in enumerate(filter(None, (report.faults, report.remarks))):
        if number:
            console.say("")
        rows = [(each.what, each.where, each.remedy) for each in findings]
        console.print_table(("what", "where", "what to do"), rows, styles=red)
    kinds = [(count, *kind.partition(" ")) for kind, count in report.looked_at.items() if count]
    numbers = [f"{counted(count, plural.removesuffix('s'))}{space}{where}" for count, plural, space, where in kinds]
    by = "their SHA-256 compared" if hashes else "their sizes compared (--hashes: their SHA-256)"
    if not report.looked_at:
        console.note("Files were not looked at: the database comes first.")
    elif report.schema is None and not report.faults:
        console.say(f"There is no registry {report.registry} yet: what is recorded first makes it.")
    elif report.schema is None:
        console.note(f"{counted(len(report.faults), 'fault')}. There is no registry {report.registry}: {ANEW}.")
    elif report.faults:
        console.note(f"{counted(len(report.faults), 'fault')}. Looked at: {', '.join(numbers) or 'no files'}; {by}.")
    else:
        listed = " What is listed is worth knowing, and no fault." if report.remarks else ""
        console.say(f"All is well with {report.registry}: {', '.join(numbers) or '0 runs'}; {by}.{listed}")


def _make_room(*, yes: bool) -> Path | None:
    """Move a damaged registry aside, if the user agrees; returns where it lies then."""
    from sngan_cli.registry_backup import damage, make_room

    why = damage()
    if why is None:
        return None
    console.warn(f"The registry {paths.registry_name()} is damaged: {why}.")
    question = "Move it aside and make another from the folders of runs?"
    console.confirm(question, "Moving a damaged registry aside", yes=yes)
    moved = make_room()
    console.note(
        f"The damaged registry is in {moved}. What no folder tells is only in there: scores of pictures, runs whose "
        "folders are elsewhere, and what became of a run since its folder was last described."
    )
    return moved

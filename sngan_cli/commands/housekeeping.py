"""`sngan runs tag | note | name | rm | restore | gc`: what runs are called, and which of them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sngan_cli import console, paths
from sngan_cli.commands.options import RunId, RunIds, Yes, number_option
from sngan_cli.run_table import called

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sngan_cli.garbage import Survey
    from sngan_registry import Run


def tag(
    run_ids: RunIds,
    add: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Give this tag; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Take this tag away; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tags of each run as JSON.")] = False,
) -> None:
    """Give tags to runs and take them away; prints the tags that each has then."""
    from sngan_cli.errors import NotFoundError, UsageError, did_you_mean
    from sngan_cli.labels import check_label, relabel

    add, remove = add or [], remove or []
    for text in add:
        check_label(text, "--add")
    if both := sorted({*add} & {*remove}):
        raise UsageError(f"The tag {both[0]!r} cannot be given and taken away at once: leave one out.")
    with paths.open_store(create=False) as store:
        runs = store.get_each(run_ids)
        known = {tag for run in runs for tag in run.tags}
        for text in remove:
            if text not in known:
                which = f"Run {runs[0].id}" if len(runs) == 1 else "None of these runs"
                raise NotFoundError(f"{which} has no tag {text!r}.{did_you_mean(text, known)}")
        if add or remove:
            runs = [relabel(store, run, add_tags=add, remove_tags=remove) for run in runs]
    if as_json:
        console.print_json([{"id": run.id, "name": run.name, "tags": run.tags} for run in runs])
        return
    for run in runs:
        typer.echo("\t".join((run.id, *run.tags)))


def note(run_id: RunId, text: Annotated[str, typer.Argument(metavar="TEXT", help='The note; "" for none.')]) -> None:
    """Keep a note with a run, in place of the one that it had."""
    from sngan_cli.labels import check_note, relabel

    check_note(text, "The note")
    with paths.open_store(create=False) as store:
        relabel(store, store.get(run_id), note=text)


def name(run_id: RunId, name: Annotated[str, typer.Argument(metavar="NAME", help='The name; "" for none.')]) -> None:
    """Give a run a name, in place of the one that it had."""
    from sngan_cli.labels import check_name, relabel, warn_of_namesakes

    if name:
        check_name(name, "The name")
    with paths.open_store(create=False) as store:
        run = relabel(store, store.get(run_id), name=name)
        warn_of_namesakes(store, run.name, console.warn, run.id)


def rm(run_ids: RunIds, yes: Yes = False) -> None:
    """Move runs to the trash, records and files; prints where the files lie there.

    A removed run is in no list until `sngan runs restore` gets it back; `sngan runs gc` deletes it for good.
    """
    from sngan_cli.run_trash import remove, to_remove
    from sngan_cli.wording import counted

    with paths.open_store(create=False) as store:
        runs = to_remove(store, run_ids)
        what = f"run {called(runs[0])}" if len(runs) == 1 else f"{counted(len(runs), 'run')}"
        them = "" if len(runs) == 1 else f": {', '.join(map(called, runs))}"
        console.confirm(f"Move {what} to the trash{them}?", f"Removing {what}{them}", yes=yes)
        for run in runs:
            _print_place(run, remove(store, run.id), "only its record is in the trash")


def restore(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="RUN_ID", help="Ids (or unique prefixes) or names of removed runs.")
    ],
) -> None:
    """Get runs back from the trash, just as they were; prints where their files lie."""
    from sngan_cli.run_trash import restore as restore_run

    with paths.open_store(create=False) as store:
        runs = {run.id: run for run in map(store.trash.get, run_ids)}
        for run in runs.values():
            _print_place(run, restore_run(store, run.id), "only its record is back")


def gc(
    older_than: Annotated[
        float,
        number_option(least=0, most=36_500, metavar="DAYS", help="Only what has been there for so many days"),
    ] = 0,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Also decoded pictures and features of real images, by when they were last used."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is to delete, and stop.")] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what there is, and whether it was deleted.")] = False,
) -> None:
    """Empty the trash for good: removed runs and extractors, and what interrupted writes left in folders of runs.

    Leftovers are those of runs that nobody trains, and unfinished copies beside the registry, once they have not
    changed for ten minutes.
    Folders of runs that the registry does not know are told of, and stay. What --cache deletes is made again when it is
    needed; what was used in the last ten minutes stays, and what a run in training may use.
    """
    from datetime import timedelta

    from sngan_cli.garbage import delete, survey

    with paths.open_store(create=False) as store:
        found = survey(store, timedelta(days=older_than), cached=cache)
        if not as_json:
            _print_waste(found, cached=cache)
        deleted = set()
        if found.waste and not dry_run:
            room = _room(found.size)
            console.confirm(f"Delete all of it for good, {room}?", f"Deleting {room} for good", yes=yes)
            deleted = {waste for waste in found.waste if delete(store, waste)}
    if as_json:
        console.print_json({
            "size": found.size,
            "waste": [{**vars(waste), "deleted": waste in deleted} for waste in found.waste],
            "unknown": found.unknown,
            "misplaced": found.misplaced,
            "unmoved": found.unmoved,
            "elsewhere": [{"id": run.id, "host": run.environment.host} for run in found.elsewhere],
        })  # fmt: skip
        return
    if dry_run and found.waste:
        words = ["sngan", "runs", "gc", *(["--cache"] if cache else [])]
        words += ["--older-than", f"{older_than:g}"] if older_than else []
        console.note(f"`{' '.join(words)}` makes room for {_room(found.size)}.")
    elif found.waste:
        console.note(f"Made room for {_room(sum(waste.size for waste in deleted))}.")
        for waste in found.waste:
            if waste not in deleted:
                console.note(f"Left: the {waste.kind} {waste.name}, restored, trained, used or deleted meanwhile.")
    _tell_what_stays(found)


def _print_place(run: Run, place: object | None, otherwise: str) -> None:
    if place is None:
        console.note(f"There is no folder of run {called(run)} here: {otherwise}.")
    else:
        typer.echo(str(place))


def _print_waste(found: Survey, *, cached: bool) -> None:
    from sngan_cli.run_table import age
    from sngan_cli.wording import sized

    if not found.waste:
        used = " What of the cache was used in the last ten minutes, or while a run trains, stays." if cached else ""
        console.note(f"There is nothing to delete.{used}")
        return
    rows: Sequence[Sequence[str]] = [(w.kind, w.name, w.called or "", age(w.since), sized(w.size)) for w in found.waste]
    console.print_table(
        ("kind", "what", "name", "age", "size"), rows, right={"age", "size"}, whole={"kind", "what", "age", "size"},
        cut={"name"},
    )  # fmt: skip


def _room(size: int) -> str:
    from sngan_cli.wording import sized

    return f"{sized(size)} ({size:,} bytes)" if size >= 1024 else sized(size)


def _tell_what_stays(found: Survey) -> None:
    in_trash = [path for path in found.unknown if path.parent == paths.trashed_runs_folder()]
    for path in found.unknown:
        if path not in in_trash:
            console.warn(f"The registry does not know the run in {path}: `sngan registry rebuild` takes it in.")
    for path in in_trash:
        console.warn(
            f"The registry does not know the removed run in {path}: delete it yourself, or move it to "
            f"{paths.runs_folder()} for `sngan registry rebuild` to take it in."
        )
    for path in found.misplaced:
        console.warn(
            f"The files of run {path.name}, which is not removed, lie in {path}: move them to {paths.runs_folder()}."
        )
    for path in found.unmoved:
        console.warn(
            f"Run {path.name} counts as removed, and {path} is not in the trash: `sngan runs restore {path.name}` gets "
            f"the run back, `sngan runs rm {path.name} --yes` ends its removal."
        )
    for run in found.elsewhere:
        console.note(
            f"The files of the removed run {called(run)} lie on {run.environment.host}: `sngan runs gc` there deletes "
            "it."
        )

"""`sngan extractors`: what scores pictures, and how to train one for pictures of your own."""

from __future__ import annotations

import shlex
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import (
    AsJson,
    DataDir,
    Device,
    Yes,
    component_options,
    given,
    number_option,
    seed_option,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sngan_cli.extractor_records import Standing
    from sngan_registry import ExtractorRecord

app = typer.Typer(help=COMMANDS["extractors"], no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a trained extractor.")]
RED = dict.fromkeys(("changed", "damaged", "gone", "renamed"), "red")
_SHOWN = 3
"""Ids of runs in a message."""


class Precision(StrEnum):
    """Arithmetic of convolutions and matrix products in training; its last accuracy is always measured in fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What `sngan train --extractor` is to call it.")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Labelled data set to train on.")],
    data_dir: DataDir = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, metavar="PIXELS", help="Side that pictures are brought to (default: the data set's)."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Passes over the pictures.")] = 12,
    batch_size: Annotated[int, typer.Option(min=2, max=65_536, metavar="N", help="Pictures in a step.")] = 128,
    lr: Annotated[float, number_option(least=1e-8, most=100, metavar="RATE", help="Peak of the learning rate")] = 0.1,
    width: Annotated[
        int | None,
        typer.Option(metavar="N", help="Channels of the network's first stage (default: the extractor's own)."),
    ] = None,
    held_out: Annotated[
        float,
        number_option(least=0.001, most=0.9, metavar="PART", help="Part of each class that only measures the accuracy"),
    ] = 0.1,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror pictures at random; not for digits or letters.")
    ] = True,
    cutout: Annotated[
        int,
        typer.Option(
            min=0, max=4096, metavar="PIXELS", help="Side of a square that is hidden at a random place of each picture."
        ),
    ] = 0,
    seed: Annotated[int, seed_option(help="Seed of everything random.")] = 0,
    device: Device = "auto",
    precision: Annotated[
        Precision | None,
        typer.Option(help="Arithmetic of training (default: bf16 where the device has units for it)."),
    ] = None,
    extractor: Annotated[
        str, typer.Option(metavar="NAME", help="Installed extractor whose network is trained.")
    ] = "classifier",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as dataset.split=test or extractor.width=32."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move an extractor of that name to the trash when this one is done.")
    ] = False,
) -> None:
    """Train a classifier on a labelled data set, for `sngan train --extractor NAME` to score with.

    Prints its name, the accuracy on held-out pictures and the weights' path. A training that is interrupted leaves
    nothing behind and cannot be resumed. The registry records one that is done. Where another one takes the name
    meanwhile, it gets a like one, and the command exits with 1.
    """
    from sngan_cli.engine.classifier import Plan
    from sngan_cli.errors import SnganError
    from sngan_cli.extractor_display import ExtractorDisplay
    from sngan_cli.extractor_training import Request, check, train_extractor
    from sngan_cli.stopping import StopAtOnceError

    options = component_options(set_ or (), {"dataset": dataset, "extractor": extractor})
    request = Request(
        name=name,
        dataset=(dataset, options["dataset"]),
        extractor=(extractor, options["extractor"] | ({} if width is None else {"width": width})),
        data_dir=data_dir,
        size=size,
        held_out=held_out,
        plan=Plan(epochs=epochs, batch_size=batch_size, lr=lr, flip=flip, cutout=cutout, seed=seed),
        device=device,
        precision=None if precision is None else precision.value,
        replace=replace,
    )
    check(request)
    try:
        with paths.open_store(create=True) as store, ExtractorDisplay() as display:
            made = train_extractor(request, store, display)
    except StopAtOnceError:
        console.note("Nothing is kept of an extractor that is not trained to its end: start it again.")
        raise
    from sngan_cli.trained_extractors import WEIGHTS, folder_of, way_back

    if made.replaced is not None:
        back = way_back(made.replaced)
        console.note(f"The extractor that it replaces is in {made.replaced.path}: `{back}` gets it back, too.")

    called = made.manifest.name
    typer.echo(f"{called}\t{made.manifest.accuracy:.4f}\t{folder_of(called) / WEIGHTS}")
    if called != name:
        raise SnganError(
            f"Another extractor was called {name!r} while this one was trained, which is whole, and called {called!r}."
        )


@app.command("list")
def list_extractors(as_json: AsJson = False) -> None:
    """List the extractors that come with plugins and those that were trained, here or elsewhere by this registry.

    Says of a trained one where it lies if not here, and whether its weights are of another size than they were.
    """
    rows = [*_installed(), *map(_row, _survey()[1])]
    if as_json:
        console.print_json(rows)
        return
    columns = ("name", "kind", "dataset", "side", "classes", "accuracy", "weights", "state")
    cells = []
    for row in rows:
        shown = {**row, "accuracy": "" if row.get("accuracy") is None else f"{row['accuracy']:.4f}"}
        shown["weights"] = (row.get("weights_sha256") or "")[:8]
        cells.append(tuple(str(shown.get(column) or "") for column in columns))
    numbers = {"side", "classes", "accuracy"}
    console.print_table(
        columns, cells, styles=RED, right=numbers, whole={*numbers, "name", "kind", "weights", "state"}, cut={"dataset"}
    )
    for row in rows:
        _tell(row.get("state"), row.get("remark"))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an extractor.")], as_json: AsJson = False
) -> None:
    """Show everything that is known of a trained extractor, or the options of an installed one.

    Weights of a trained one are compared with their SHA-256. Exits with 1 where it cannot be used as it stands.
    """
    from sngan_cli.catalog import Catalog
    from sngan_cli.commands.plugins import show as show_plugin
    from sngan_cli.errors import ComponentError, NotFoundError, no_such
    from sngan_cli.extractor_records import verified
    from sngan_cli.run_details import print_section
    from sngan_cli.trained_extractors import check_not_removed

    installed = Catalog.installed().names("extractor")
    if name in installed:
        show_plugin(name, kind="extractor", as_json=as_json)
        return
    records, standings = _survey()
    found = [standing for standing in standings if standing.name == name]
    if not found:
        check_not_removed(name)
        known = [*installed, *(standing.name for standing in standings)]
        raise NotFoundError(no_such("extractor", name, known))
    standing = verified(next((each for each in found if each.state.has_folder), found[-1]))
    if standing.values is None:
        raise ComponentError(str(standing.remark))
    values = {**standing.values, "state": standing.state.value, "recorded": _place(standing.record)}
    removed = [_place(record) for record in records if record.name == name and record.removed]
    if as_json:
        console.print_json({**values, "removed": removed, "remark": standing.remark})
    else:
        _print_values(name, values)
        for place in removed:
            print_section("removed", _lines(place or {}))
        _tell(standing.state, standing.remark)
    raise typer.Exit(1 if standing.state.is_fault else 0)


@app.command()
def register(name: Name) -> None:
    """Record a trained extractor that lies here and that the registry does not know; its weights are checked first."""
    from sngan_cli import trained_extractors
    from sngan_cli.errors import ComponentError
    from sngan_cli.extractor_records import State, record, verified

    if name not in trained_extractors.names():
        _refuse_installed(name, "need not be registered")
    manifest = trained_extractors.read(name)
    standing = verified(next(each for each in _survey()[1] if each.name == name and each.state.has_folder))
    if standing.state is State.CHANGED:
        raise ComponentError(str(standing.remark))
    renamed = [standing.record] if standing.state is State.RENAMED and standing.record else []
    with paths.open_store(create=True) as store:
        record(store, manifest, renamed)
    typer.echo(f"{name}\t{manifest.accuracy:.4f}\t{trained_extractors.folder_of(name) / trained_extractors.WEIGHTS}")


@app.command()
def rm(name: Name, yes: Yes = False) -> None:
    """Move a trained extractor to the trash; prints where it lies there.

    One whose folder is gone is removed from the registry's list. Runs that it scores keep their scores.
    """
    from sngan_cli import trained_extractors
    from sngan_cli.errors import NotFoundError, UsageError, no_such
    from sngan_cli.extractor_records import going_with
    from sngan_cli.home import trash_folder

    records, standings = _survey()
    going, lies_here = going_with(name, records), name in trained_extractors.names()
    if not lies_here and not going:
        if elsewhere := next((each.remark for each in standings if each.name == name), None):
            raise UsageError(f"{elsewhere} Remove it there.")
        _refuse_installed(name, "cannot be removed by itself")
        trained_extractors.check_not_removed(name)
        known = [standing.name for standing in standings]
        raise NotFoundError(no_such("trained extractor", name, known))
    where = f"to {trash_folder()}" if lies_here else "out of the registry's list, since its folder is gone"
    own = [each for each in standings if each.name == name and (each.state.has_folder or not lies_here)]
    others = [each for each in standings if each.name != name and each.state.has_folder]
    scores = _scored_by(_weights(own) - _weights(others))  # any with the same weights does as well
    called = f"the extractor {name!r}{f', which scores {scores},' if scores else ''}"
    console.confirm(f"Move {called} {where}?", f"Removing {called.rstrip(',')}", yes=yes)
    if yes and scores:
        back = f": `sngan extractors restore {shlex.quote(name)}` gets it back" if lies_here else ""
        console.note(f"The extractor {name!r} scores {scores}{back}.")
    if lies_here:
        typer.echo(str(trained_extractors.discard(name).path))
    else:
        console.note(f"The folder of the extractor {name!r} is gone: it is no longer listed.")
    with paths.open_store(create=False) as store:
        for record in going:
            store.extractors.remove(record)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a trained extractor that was removed.")],
    weights: Annotated[
        str | None,
        typer.Option(parser=given, metavar="SHA256", help="Which of several: how the SHA-256 of its weights begins."),
    ] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="OTHER", help="What it is called from now on (default: as it was).")
    ] = None,
) -> None:
    """Get a trained extractor back from the trash; prints where it lies.

    It is the one of that name that was removed or replaced last, unless --weights tells another. Runs that it scores
    find it by its weights, whatever it is called.
    """
    from sngan_cli import trained_extractors
    from sngan_cli.catalog import Catalog
    from sngan_cli.errors import ComponentError
    from sngan_cli.extractor_records import restored

    _refuse_installed(name, "cannot be restored")
    if as_ is not None:
        trained_extractors.check_name(as_, Catalog.installed(), replace=True)  # whether there is one is seen below
    called = as_ or name
    _, others = trained_extractors.restore(name, weights or "", called)
    typer.echo(str(trained_extractors.folder_of(called)))
    if others and not weights:
        there = ", ".join(f"{each.path} (weights {(each.weights_sha256 or 'unknown')[:8]})" for each in others)
        console.note(f"Of {len(others) + 1} extractors {name!r} in the trash it went there last. Still there: {there}.")
    try:
        with paths.open_store(create=False) as store:
            restored(store, name, called)
    except ComponentError as error:
        console.warn(str(error))


def _weights(standings: Iterable[Standing]) -> set[str]:
    return {each.values["weights_sha256"] for each in standings if each.values}


def _scored_by(weights: Collection[str]) -> str:
    """How many runs extractors of such weights score, and the ids of some; nothing where there are none."""
    from sngan_cli.extractor_records import runs_by
    from sngan_cli.wording import counted

    with paths.open_store(create=False) as store:
        runs = runs_by(store, weights)
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return f"{counted(len(runs), 'run')} ({', '.join(runs[:_SHOWN])}{more})" if runs else ""


def _refuse_installed(name: str, verdict: str) -> None:
    """Raise `UsageError` where an extractor of that name comes with a package."""
    from sngan_cli.catalog import Catalog
    from sngan_cli.errors import UsageError

    for entry in Catalog.installed().entries("extractor"):
        if entry.name == name:
            owner = f"the installed package {entry.distribution} {entry.version}"
            raise UsageError(f"The extractor {name!r} is part of {owner}, and {verdict}: only trained ones are.")


def _installed() -> list[dict[str, Any]]:
    from sngan_cli.catalog import Catalog

    return [
        {"name": entry.name, "kind": "plugin", "from": f"{entry.distribution} {entry.version}"}
        for entry in Catalog.installed().entries("extractor")
    ]


def _survey() -> tuple[Sequence[ExtractorRecord], list[Standing]]:
    """All records of trained extractors, removed ones included, and how those stand that are not."""
    from sngan_cli.extractor_records import survey

    with paths.open_store(create=False) as store:
        records = store.extractors.all()
    return records, survey(records)


def _row(standing: Standing) -> dict[str, Any]:
    """A trained extractor as the list has it."""
    values = standing.values or {"dataset": {}}
    kept = ("side", "classes", "accuracy", "weights_sha256", "path")
    return {
        "name": standing.name,
        "kind": "trained",
        "state": standing.state.value,
        "dataset": values["dataset"].get("name"),
        **{key: values.get(key) for key in kept},
        "host": standing.record.host if standing.record else None,
        "remark": standing.remark,
    }


def _place(record: ExtractorRecord | None) -> dict[str, Any] | None:
    """What a record says beside the manifest."""
    return None if record is None else {key: value for key, value in vars(record).items() if key != "manifest"}


def _tell(state: str | None, remark: str | None) -> None:
    """Say what is to be said of an extractor: a warning where something is wrong with it."""
    if remark:
        (console.warn if state in RED else console.note)(remark)


def _print_values(name: str, values: Mapping[str, Any]) -> None:
    """Print what is known of a trained extractor: itself, then where and with what it was made, and its record."""
    from sngan_cli.run_details import print_section

    components = {key: _component(values[key]) for key in ("extractor", "dataset")}
    own = {key: value for key, value in values.items() if key != "name"}
    print_section(f"extractor {name}", _lines({"state": own["state"], **own, **components}))
    for key in ("environment", "recorded"):
        print_section(key, _lines(values[key] or {}))


def _lines(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _text(value)) for key, value in values.items() if not isinstance(value, dict)]


def _component(table: Mapping[str, Any]) -> str:
    """A component by name, and its options."""
    options = (f"{key}={_text(value)}" for key, value in table.items() if key != "name" and value is not None)
    return "  ".join(filter(None, (table["name"], " ".join(options))))


def _text(value: object) -> str:
    from sngan_cli.run_table import text_of

    if isinstance(value, tuple | list):
        return ", ".join(map(text_of, value))
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return f"{value:.6g}" if isinstance(value, float) else text_of(value)

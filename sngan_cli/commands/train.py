"""`sngan train`: compose, train, record."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths
from sngan_cli.commands.options import Precision, given, path_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from sngan_cli.composition import Composition
    from sngan_cli.config import Layer
    from sngan_cli.display import Display
    from sngan_cli.engine.loop import Result
    from sngan_cli.labels import Labels
    from sngan_cli.paths import Place
    from sngan_cli.stopping import StopSignal

app = typer.Typer(add_completion=False)


class Compile(StrEnum):
    """Whether the networks are compiled."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Decay(StrEnum):
    """How learning rates fall."""

    LINEAR = "linear"
    NONE = "none"


COMPONENTS, SOURCES = "Components", "Where settings come from"
_component, _training, _record, _source = (
    partial(typer.Option, rich_help_panel=panel) for panel in (COMPONENTS, "Training", "Record", SOURCES)
)


@app.command()
def train(
    ctx: typer.Context,
    dataset: Annotated[str | None, _component(metavar="NAME", help="Data set.")] = None,
    data_dir: Annotated[
        Path | None, path_option(help="Folder or archive that holds the data set.", rich_help_panel=COMPONENTS)
    ] = None,
    size: Annotated[
        int | None, _component(metavar="PIXELS", help="Side of the images in pixels (default: the data set's own).")
    ] = None,
    arch: Annotated[str | None, _component(metavar="NAME", help="Architecture of both networks.")] = None,
    arch_g: Annotated[str | None, _component(metavar="NAME", help="Architecture of the generator.")] = None,
    arch_d: Annotated[str | None, _component(metavar="NAME", help="Architecture of the discriminator.")] = None,
    loss: Annotated[str | None, _component(metavar="NAME", help="Loss.")] = None,
    norm: Annotated[str | None, _component(metavar="NAME", help="Normalization of the discriminator.")] = None,
    norm_g: Annotated[str | None, _component(metavar="NAME", help="Normalization of the generator.")] = None,
    extractor: Annotated[
        str | None, _component(metavar="NAME", help="Extractor that scores the images (default: the data set's).")
    ] = None,
    metric: Annotated[
        str | None,
        _component(
            metavar="A,B,...",
            help="Metrics of the scores (default: the recipe's); the first one says which checkpoint is the best.",
        ),
    ] = None,
    conditional: Annotated[
        bool | None, _component("--conditional/--unconditional", help="Condition both networks on the class.")
    ] = None,
    steps: Annotated[int | None, _training(metavar="N", help="Generator updates.")] = None,
    epochs: Annotated[
        int | None, _training(metavar="N", help="Passes of D over the data, in place of --steps.")
    ] = None,
    n_dis: Annotated[
        int | None, _training(metavar="N", help="Discriminator updates for each generator update.")
    ] = None,
    batch_size: Annotated[int | None, _training(metavar="N", help="Images in a discriminator update.")] = None,
    g_batch_size: Annotated[int | None, _training(metavar="N", help="Images in a generator update.")] = None,
    lr: Annotated[float | None, _training(metavar="RATE", help="Learning rate of both networks.")] = None,
    lr_g: Annotated[float | None, _training(metavar="RATE", help="Learning rate of the generator.")] = None,
    lr_d: Annotated[float | None, _training(metavar="RATE", help="Learning rate of the discriminator.")] = None,
    beta1: Annotated[float | None, _training(metavar="DECAY", help="Adam's beta1.")] = None,
    beta2: Annotated[float | None, _training(metavar="DECAY", help="Adam's beta2.")] = None,
    ema: Annotated[float | None, _training(metavar="DECAY", help="Decay of G's averaged weights; 0 for none.")] = None,
    lr_decay: Annotated[Decay | None, _training(help="How the learning rates fall.")] = None,
    seed: Annotated[int | None, _training(metavar="N", help="Seed of everything random.")] = None,
    device: Annotated[str | None, _training("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")] = None,
    devices: Annotated[
        int | None, _training(metavar="N", help="GPUs, or processes on the CPU, that share the batch.")
    ] = None,
    precision: Annotated[
        Precision | None,
        _training(help="Arithmetic of convolutions (default: bf16 where the device has units for it)."),
    ] = None,
    compile_: Annotated[
        Compile | None,
        _training(
            "--compile",
            help=(
                "auto (default): a GPU does each step as one CUDA graph, from 20000 steps on of compiled networks; on: "
                "networks are compiled in any case, on a CPU too; off: neither."
            ),
        ),
    ] = None,
    eval_every: Annotated[int | None, _record(metavar="N", help="Steps between scores; 0: at the end only.")] = None,
    eval_samples: Annotated[int | None, _record(metavar="N", help="Images in a score.")] = None,
    checkpoint_every: Annotated[
        int | None, _record(metavar="N", help="Steps between checkpoints; 0: with scores only.")
    ] = None,
    name: Annotated[str | None, _record("--name", metavar="NAME", help="Name of the run.")] = None,
    tag: Annotated[list[str] | None, _record("--tag", metavar="TAG", help="Tag of the run; repeatable.")] = None,
    note: Annotated[str | None, _record(metavar="TEXT", help="A note to keep with the run.")] = None,
    recipe: Annotated[
        str | None,
        _source(metavar="NAME", parser=given, help="Settings to start from: paper, seed or fast (default: paper)."),
    ] = None,
    config: Annotated[
        Path | None, path_option(help="TOML configuration, as --dry-run prints it.", rich_help_panel=SOURCES)
    ] = None,
    like: Annotated[str | None, _source(metavar="RUN", help="Start from another run's settings.")] = None,
    set_: Annotated[
        list[str] | None, _source("--set", metavar="KEY=VALUE", help="Any setting, such as arch.width=0.5.")
    ] = None,
    resume: Annotated[str | None, _source(metavar="RUN", help="Go on with a run that stopped.")] = None,
    checkpoint: Annotated[
        str | None, _source(metavar="WHICH", help="Checkpoint to resume from: last (default), best or a step.")
    ] = None,
    yes: Annotated[
        bool, _source("--yes", "-y", help="Do not ask before what came after the checkpoint is dropped.")
    ] = False,
    dry_run: Annotated[bool, _source("--dry-run", help="Print the configuration and stop.")] = False,
) -> None:
    """Train a GAN and record the run; its id is printed on stdout.

    Each setting comes from a flag, else --set, else --config or --like, else the recipe.
    """
    from sngan_cli.catalog import Catalog
    from sngan_cli.composition import compose
    from sngan_cli.config import Layer, config_file, parse_set
    from sngan_cli.engine.processes import follows
    from sngan_cli.errors import UsageError
    from sngan_cli.preparation import check_place

    if follows():
        raise typer.Exit(0 if dry_run else _follow())
    by_set = parse_set(set_ or ())
    overrides = [
        *_scored_by(metric, by_set),
        by_set,
        Layer("the command line", _settings(ctx.params)),
        *_world(devices),
    ]
    labels = _labels(name, note, tag)
    if resume is not None:
        if config or like or recipe or dry_run:
            raise UsageError("--resume keeps a run's settings: leave --config, --like, --recipe and --dry-run out.")
        raise typer.Exit(_resume(resume, checkpoint or "last", overrides, labels, yes=yes))
    if checkpoint is not None:
        raise UsageError(f"--checkpoint {checkpoint} says where to go on from: give it together with --resume RUN.")
    if like is not None and (config or recipe):
        raise UsageError("--like takes a run's settings, recipe included: leave --config and --recipe out.")
    parent: str | None = None
    source = _for_other_data(config_file(config), overrides) if config else None
    if like is not None:
        parent, source = _source_run(like, overrides)
    composition = compose(_with_recipe(source, recipe, overrides), Catalog.installed())
    check_place(composition, paths.cache_folder())
    if dry_run:
        typer.echo(composition.config.to_toml(), nl=False)
        return
    raise typer.Exit(_train(composition, parent, labels))


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    """The settings among the flags but the recipe, as a configuration file would hold them."""
    from sngan_cli.config import SETTINGS

    flags = {key.removesuffix("_"): value for key, value in params.items() if value is not None}
    given = {key: flags[key] for key in SETTINGS if key in flags and key != "recipe"}
    if "data_dir" in given:  # the configuration is to mean the same from anywhere
        given["data_dir"] = str(given["data_dir"].absolute())
    return {key: value.value if isinstance(value, StrEnum) else value for key, value in given.items()}


def _scored_by(metric: str | None, by_set: Layer) -> list[Layer]:
    """The metrics that the flag chooses, below --set, whose `metrics` tables add to them."""
    from sngan_cli.config import Layer
    from sngan_cli.errors import UsageError

    if metric is None:
        return []
    if "scored_by" in by_set.values:
        raise UsageError(f"--metric {metric} and --set scored_by choose the same: leave one of them out.")
    return [Layer("--metric", {"scored_by": metric})]


def _world(devices: int | None) -> list[Layer]:
    """The number of devices that torchrun decides on, where it has started this process."""
    from sngan_cli.config import Layer
    from sngan_cli.engine.processes import given_size
    from sngan_cli.errors import UsageError

    size = given_size()
    if size == 1:
        return []
    if devices not in (None, size):
        raise UsageError(f"--devices {devices} is not what torchrun has started, {size} processes: leave it out.")
    return [Layer("torchrun", {"devices": size})]


def _labels(name: str | None, note: str | None, tags: list[str] | None) -> Labels:
    from sngan_cli.labels import Labels, check_label, check_name, check_note

    if name is not None:
        check_name(name, "--name")
    if note is not None:
        check_note(note, "--note")
    for tag in tags or ():
        check_label(tag, "--tag")
    return Labels(name, note, tuple(tags or ()))


def _for_other_data(source: Layer, overrides: list[Layer]) -> Layer:
    """Leave out where the source's data lie and how they are scored, where another data set is to be trained on."""
    from sngan_cli.config import Layer

    named = [name for layer in overrides if (name := layer.component("dataset")[0])]
    if not named or named[-1] == source.component("dataset")[0]:
        return source
    return Layer(source.origin, {k: v for k, v in source.values.items() if k not in ("data_dir", "extractor")})


def _with_recipe(source: Layer | None, recipe: str | None, overrides: list[Layer]) -> list[Layer]:
    """All layers, weakest first: the recipe that the flag, --set or the source names goes below them."""
    from sngan_cli.config import merge_scalars
    from sngan_cli.config import recipe as read_recipe
    from sngan_cli.errors import UsageError

    layers = [*([source] if source else []), *overrides]
    recipe = recipe or merge_scalars(overrides).get("recipe")
    named = source.values.get("recipe") if source else None
    if recipe and named and recipe != named:
        raise UsageError(
            f"{source.origin if source else ''} is made from recipe {named!r}, and --recipe {recipe} would "
            "leave its settings as they are: take its line `recipe` out, or leave --recipe out."
        )
    return [read_recipe(str(recipe or named or "paper")), *layers]


def _source_run(like: str, overrides: list[Layer]) -> tuple[str, Layer]:
    """The run to start from and its settings, less those of other data; what is taken of it has to be installed."""
    from sngan_cli.catalog import Catalog
    from sngan_cli.composition import names_in
    from sngan_cli.config import Layer
    from sngan_cli.trained import check_installed

    with paths.open_store(create=False) as store:
        run = store.get(like)
        components = store.components(run.id)
    source = _for_other_data(Layer(f"run {run.id}", run.config), overrides)
    names = names_in([source, *overrides])
    taken = [each for each in components if names.get(each.role) == each.name]
    check_installed(run, taken, Catalog.installed(), has_choice=True)
    return run.id, source


def _follow() -> int:
    """Train along with the process that leads; it alone reads the other options."""
    from sngan_cli.following import follow

    return 0 if follow(paths.cache_folder()) else 1


def _train(composition: Composition, parent: str | None, labels: Labels) -> int:
    from sngan_cli.labels import warn_of_namesakes
    from sngan_cli.launch import train_new

    def train(place: Place, display: Display, stop: StopSignal) -> Result:
        warn_of_namesakes(place.store, labels.name, display.warn)
        return train_new(composition, place, labels, display, parent=parent, stop=stop)

    return _watched(train, create=True)


def _resume(ref: str, checkpoint: str, overrides: list[Layer], labels: Labels, *, yes: bool) -> int:
    from sngan_cli.labels import warn_of_namesakes
    from sngan_cli.launch import train_on

    def agree(dropped: str) -> None:
        console.confirm(f"Drop {dropped}?", f"Dropping {dropped},", yes=yes)

    def train(place: Place, display: Display, stop: StopSignal) -> Result:
        run = place.store.get(ref)
        warn_of_namesakes(place.store, labels.name, display.warn, run.id)
        return train_on(run, overrides, place, labels, display, which=checkpoint, stop=stop, agree=agree)

    return _watched(train, create=False)


def _watched(train: Callable[[Place, Display, StopSignal], Result], *, create: bool) -> int:
    """Train with a live display and an ear for signals; returns the exit code.

    Raises `UnscoredError` where the last step of a run, which is finished, could not be scored by every metric.
    """
    from sngan_cli.display import Display
    from sngan_cli.stopping import StopSignal

    with paths.open_store(create=create) as store, Display() as display:
        stop = StopSignal(display.say)
        result = train(paths.place(store), display, stop)
        display.finish(result)
        if result.unscored is not None:
            raise result.unscored
        return 0 if result.status == "finished" else stop.exit_code

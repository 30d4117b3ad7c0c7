"""From a labelled data set to an extractor that bears a name."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from sngan_cli import extractor_records, paths, trained_extractors
from sngan_cli.catalog import Catalog, Entry, blaming
from sngan_cli.composition import data_root, open_data, own_side
from sngan_cli.contracts import Dataset, Pictures, TrainableExtractor
from sngan_cli.engine import classifier
from sngan_cli.engine.cache import DecodedPictures, prepare
from sngan_cli.engine.classifier import Plan, Split, Trained
from sngan_cli.engine.device import (
    Listener,
    describe,
    enough_memory,
    fastest_precision,
    make_ready,
    resolve_device,
    versions,
)
from sngan_cli.errors import DataError, UsageError
from sngan_cli.provenance import environment
from sngan_cli.stopping import StopAtOnceError, StopSignal
from sngan_cli.trained_extractors import WEIGHTS, Discarded, Manifest
from sngan_cli.wording import counted
from sngan_registry import RegistryError, Store

_MADE = set(TrainableExtractor.model_fields)
"""Options that lead to trained weights."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; `dataset` and `extractor` are a name and options each, `plan` how it is trained."""

    name: str
    dataset: tuple[str, Mapping[str, Any]]
    extractor: tuple[str, Mapping[str, Any]]
    data_dir: Path | None
    size: int | None
    held_out: float
    plan: Plan
    device: str
    precision: str | None
    replace: bool


class Audience(Listener, Protocol):
    """Who watches the training."""

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""

    def begin(self, message: str, epochs: int) -> None:
        """Show that training begins."""

    def trained(self, progress: Trained) -> None:
        """Show how far training has come."""


@dataclass(frozen=True)
class Made:
    """A new extractor, and the one that it replaced, which is in the trash, if there was one.

    It has another name than it was to have where another one took that while it was trained.
    """

    manifest: Manifest
    replaced: Discarded | None


def check(request: Request) -> None:
    """Find out at once, and without a trace, whether there is what is asked for; raises as `train_extractor` would.

    Into a data folder is not looked: that takes its time.
    """
    catalog = Catalog.installed()
    trained_extractors.check_name(request.name, catalog, replace=request.replace)
    resolve_device(request.device)
    dataset, _, _ = _components(request, catalog)
    data_root(dataset, request.dataset[0], request.data_dir)


def train_extractor(request: Request, store: Store, audience: Audience) -> Made:
    """Train, measure, publish and record an extractor; whatever stops it leaves nothing behind.

    Raises `UsageError` for a name, component, option or size that cannot be used, and `DataError` for a data set
    without labels, or of fewer than two classes.
    """
    catalog = Catalog.installed()
    trained_extractors.check_name(request.name, catalog, replace=request.replace)
    old = extractor_records.going_with(request.name, store.extractors.all())
    device = resolve_device(request.device)
    precision = request.precision or fastest_precision(device)
    make_ready(device, precision, audience)
    dataset, extractor, entry = _components(request, catalog)
    plan = request.plan
    with trained_extractors.new_folder(request.name) as folder:
        root, data, side = _data(request, catalog, dataset, extractor, audience)
        parts = _split(request, data, audience)
        names = data.class_names or ()
        with blaming(entry):
            network = classifier.build(extractor, side, len(names), plan.seed, device)
            classifier.write_weights(network, folder / WEIGHTS, names)  # fails now, where it does, not after training
        audience.begin(
            f"extractor {request.name}: {request.dataset[0]} {side} px, {len(names)} classes, "
            f"{counted(len(parts.training), 'picture')} to train on and {len(parts.held_out)} held out, "
            f"{counted(plan.epochs, 'epoch')}",
            plan.epochs,
        )
        made_by = environment(describe(device), *versions(device))  # the checkout may be another one when it is done
        started = time.monotonic()
        remedy = "lower --batch-size, or try --precision bf16"
        with blaming(entry), enough_memory("while the classifier trains", remedy), StopSignal() as stop:

            def trained(step: Trained) -> None:
                if stop.received is not None:  # minded here, since what torch imports as it begins may swallow an error
                    raise StopAtOnceError(stop.received)
                audience.trained(step)

            accuracy = classifier.train(
                network, data.images, data.labels, parts, plan=plan, bf16=precision == "bf16", observe=trained
            )
        seconds = round(time.monotonic() - started, 3)
        manifest = Manifest(
            name=request.name,
            extractor={"name": entry.name, **_options(extractor)},
            distribution=entry.distribution,
            version=entry.version,
            dataset={"name": request.dataset[0], **dataset.model_dump(mode="json")},
            data_dir=None if root is None else str(root),
            data_sha256=data.data_sha256,
            side=side,
            classes=len(names),
            class_names=names,
            images=len(parts.training),
            held_out=len(parts.held_out),
            accuracy=accuracy,
            chance=classifier.chance(data.labels, parts.held_out)[1],
            **asdict(plan),
            precision=precision,
            seconds=seconds,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=asdict(made_by),
            weights_sha256=classifier.write_weights(network, folder / WEIGHTS, names),
            weights_size=(folder / WEIGHTS).stat().st_size,
        )
        published, replaced = trained_extractors.publish(folder, manifest, replace=request.replace)
        _warn_of_chance(published.name, accuracy, data, parts, audience)
    try:
        extractor_records.record(store, published, old if published.name == request.name else ())
    except RegistryError as error:  # it may have gone since the start, which does not undo hours of work
        way_out = f"`sngan extractors register {shlex.quote(published.name)}` records it"
        audience.warn(f"{error} The extractor is whole: {way_out}.")
    return Made(published, replaced)


def _components(request: Request, catalog: Catalog) -> tuple[Dataset, TrainableExtractor, Entry]:
    dataset = cast("Dataset", catalog.make("dataset", *request.dataset))
    extractor = catalog.make("extractor", *request.extractor)
    entry = catalog.load("extractor", request.extractor[0]).entry
    if not isinstance(extractor, TrainableExtractor):
        raise UsageError(
            f"The extractor {entry.name!r} cannot be trained: leave --extractor out, or name one that can."
        )
    if given := sorted(_MADE & set(request.extractor[1])):
        raise UsageError(f"--set extractor.{given[0]}: this is what training makes; leave it out.")
    return dataset, extractor, entry


def _options(extractor: TrainableExtractor) -> dict[str, Any]:
    """An extractor's options but for those that lead to its weights."""
    return extractor.model_dump(mode="json", exclude=_MADE)


def _data(
    request: Request, catalog: Catalog, dataset: Dataset, extractor: TrainableExtractor, audience: Audience
) -> tuple[Path | None, DecodedPictures, int]:
    """The pictures, decoded: where they lie, what they are, and their side."""
    name = request.dataset[0]
    cache = paths.cache_folder()
    with blaming(catalog.load("dataset", name).entry):
        root, pictures = open_data(dataset, name, request.data_dir, cache / "downloads")
        _check_classes(name, pictures)
        side = request.size or own_side(dataset, name, pictures)
        if (cutout := request.plan.cutout) >= side:
            raise UsageError(
                f"--cutout {cutout} would hide pictures of {side} pixels whole: give less, such as {side // 4}."
            )
        extractor.network(side, len(pictures.class_names or ()))  # says so where it cannot be, before hours of decoding
        data = prepare(pictures, side, cache / "pictures", progress=audience.decoding)
    data.tell(audience.warn)
    return root, data, side


def _check_classes(name: str, pictures: Pictures) -> None:
    if pictures.class_names is None:
        raise DataError(
            f"The data set {name!r} has no labels, and a classifier learns from them: sort the pictures into one "
            "folder a class and use --dataset folder, or choose another data set."
        )
    if len(pictures.class_names) < 2:
        raise DataError(
            f"The data set {name!r} has {counted(len(pictures.class_names), 'class', 'classes')}, and a classifier "
            "needs two at least: add pictures of another class, or choose another data set."
        )


def _warn_of_chance(name: str, accuracy: float, data: DecodedPictures, parts: Split, audience: Audience) -> None:
    """Say so where a network that knows nothing of the pictures might be as good."""
    share, luck = classifier.chance(data.labels, parts.held_out)
    if accuracy > luck:
        return
    audience.warn(
        f"The extractor {name!r} is kept, but scores by it will mean little: its accuracy of {accuracy:.1%} on "
        f"{counted(len(parts.held_out), 'held-out picture')} is not clearly above the {share:.1%} of naming the most "
        "frequent class every time. Train it again with --replace and more --epochs, another --lr or more pictures, "
        "and look whether the pictures lie in the right classes (`sngan datasets preview`)."
    )


def _split(request: Request, data: DecodedPictures, audience: Audience) -> Split:
    parts = classifier.split(data.labels, request.held_out, request.plan.seed)
    if not len(parts.held_out):
        raise DataError(
            f"No class of the data set {request.dataset[0]!r} has two pictures: there is none to hold out, and no "
            "accuracy without. Add pictures."
        )
    if len(parts.training) < 2:
        raise DataError(f"The data set {request.dataset[0]!r} leaves one picture to train on: add pictures.")
    if parts.alone:
        names = [(data.class_names or ())[label] for label in parts.alone]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        audience.warn(
            f"Classes of a single picture, which is trained on and says nothing of the accuracy: "
            f"{', '.join(names[:3])}{more}."
        )
    return parts

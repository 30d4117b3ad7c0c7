"""What is looked at and made ready before there is a run, so that nothing of it fails later."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sngan_cli.catalog import blaming
from sngan_cli.composition import Composition, check_networks, data_root, own_side
from sngan_cli.config import RunConfig
from sngan_cli.contracts import LoadedExtractor, OfOneSide, Pictures
from sngan_cli.engine.cache import DecodedPictures
from sngan_cli.engine.cache import prepare as decode
from sngan_cli.engine.device import Listener, check_compiler, fastest_precision, make_ready, set_precision
from sngan_cli.engine.distributed import World
from sngan_cli.engine.processes import take_device
from sngan_cli.engine.trial import check_classes, try_extractor, try_metrics, try_networks
from sngan_cli.errors import UsageError, WeightsUnavailableError
from sngan_cli.paths import Place
from sngan_cli.wording import counted

if TYPE_CHECKING:
    import torch


class Audience(Listener, Protocol):
    """Who watches what happens before the first step."""

    def decoding(self, done: int, total: int) -> None:
        """Show how many pictures are decoded."""


@dataclass(frozen=True)
class Prepared:
    """All that training needs. What the user asked for is checked by now, and nothing has been recorded yet."""

    composition: Composition
    data: DecodedPictures
    extractor: LoadedExtractor | None
    unscored: str | None
    """Why there is no extractor, where there is none."""


def prepare(composition: Composition, place: Place, audience: Audience, world: World) -> Prepared:
    """Find out all that a run needs; raises `UsageError` or `ComponentError` where something of it cannot be."""
    device = world.device
    precision = composition.config.precision or fastest_precision(device)
    config = composition.config.changed(precision=precision)
    make_ready(device, precision, audience)
    if config.compile == "on":
        check_compiler(device)
    _check_folder(place.runs)
    resolved, pictures = _fitted(composition.with_config(config), place, device)
    size = resolved.config.size
    assert size is not None
    extractor, unscored = _extractor(composition, str(device), place)
    if unscored is not None:
        audience.warn(unscored)
    if extractor is not None:
        _check_extractor(extractor, resolved, pictures.class_names if config.conditional else None, audience)
    with blaming(composition.entries["dataset"]):
        data = decode(pictures, size, place.cache / "pictures", progress=audience.decoding)
    resolved = resolved.with_config(resolved.config.changed(**_length(config, len(data.images))))
    for metric in composition.metrics.values():
        metric.reference(min(config.eval_samples, len(data.images)))  # says so where these are too few
    data.tell(audience.warn)
    if len(data.images) < config.batch_size:
        audience.warn(
            f"The data are {counted(len(data.images), 'picture')}, and a batch has {config.batch_size}: D will soon "
            "know them by heart."
        )
    return Prepared(resolved, data, extractor, unscored)


def check_place(composition: Composition, cache: Path) -> torch.device:
    """Find out at once whether there are the device and the data that a run names; returns the device.

    Into a data folder, or one under `cache` that data are downloaded to, is not looked: that takes its time.
    """
    config, dataset = composition.config, composition.dataset
    device = take_device(config.device, config.devices)
    set_precision(config.precision or fastest_precision(device), device)
    if config.data_dir is not None:
        data_root(dataset, config.dataset.name, config.data_dir)
    elif dataset.needs_data_dir and not dataset.downloads:  # it may know where they are
        with blaming(composition.entries["dataset"]):
            composition.open_data(cache / "downloads")
    return device


def check(composition: Composition, place: Place) -> None:
    """Find out, as far as it can be without decoding or training, whether a run can be prepared.

    Raises what `prepare` would raise. Data that would have to be downloaded are not looked at.
    """
    config = composition.config
    device = check_place(composition, place.cache)
    if config.data_dir is not None or not composition.dataset.downloads:
        _fitted(composition, place, device)


def _fitted(composition: Composition, place: Place, device: torch.device) -> tuple[Composition, Pictures]:
    """The composition with the size, steps and folder that follow from its data, and these; both networks are tried."""
    config = composition.config
    with blaming(composition.entries["dataset"]):
        root, pictures = composition.open_data(place.cache / "downloads")
        size = config.size or own_side(composition.dataset, config.dataset.name, pictures)
    check_networks(composition, size)
    if config.conditional and not pictures.class_names:
        raise UsageError(
            f"The data set {config.dataset.name!r} has no labels, and --conditional needs some: leave it out, or sort "
            "the pictures into two folders or more, one a class, and use --dataset folder."
        )
    resolved = composition.with_config(
        config.changed(size=size, **_length(config, len(pictures)), data_dir=None if root is None else str(root))
    )
    try_networks(resolved, len(pictures.class_names) if config.conditional and pictures.class_names else None, device)
    return resolved, pictures


def _length(config: RunConfig, images: int) -> dict[str, int | None]:
    """How long to train on so many images: in steps, also where it is asked for in epochs."""
    steps = config.steps
    if config.epochs is not None:
        steps = max(1, config.epochs * images // (config.batch_size * config.n_dis))
    return {"steps": steps, "epochs": None}


def _extractor(composition: Composition, device: str, place: Place) -> tuple[LoadedExtractor, None] | tuple[None, str]:
    """Load the extractor, or say why nothing will be scored."""
    try:
        return composition.load_extractor(device, place.cache / "weights"), None
    except WeightsUnavailableError as error:
        return None, f"Nothing will be scored. {error}"


def _check_extractor(
    extractor: LoadedExtractor, composition: Composition, class_names: Sequence[str] | None, audience: Audience
) -> None:
    config = composition.config
    with blaming(composition.entries["extractor"]):
        shown = try_extractor(extractor, config.extractor.name)
    if isinstance(extractor, OfOneSide) and extractor.side != config.size:
        audience.warn(
            f"Images of {config.size} px are scored as {extractor.side} px, which the extractor was trained for: one "
            "for their own size sees more."
        )
    try_metrics(composition.metrics, shown, config.eval_samples)
    check_classes(extractor, composition.metrics, shown, class_names, "the run is unconditional")


def _check_folder(runs: Path) -> None:
    """Raise `UsageError` where the folders of runs cannot be written, before there is a run."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs):
            pass
    except OSError as error:
        raise UsageError(
            f"The folder of runs {runs} cannot be written: {error.strerror}. Set SNGAN_HOME to a folder that can."
        ) from error

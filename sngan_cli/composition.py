"""Turns layers of settings into a configuration and the components that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, cast

from sngan_cli import contracts, trained_extractors
from sngan_cli.catalog import Catalog, Entry, blaming
from sngan_cli.config import ROLES, Layer, RunConfig, merge_scalars
from sngan_cli.errors import ComponentError, NotFoundError, UsageError
from sngan_cli.home import real_path
from sngan_cli.wording import first_of, shortened


@dataclass(frozen=True)
class Composition:
    """A run's configuration, every option filled in, and its components; `entries` says who supplied each role."""

    config: RunConfig
    dataset: contracts.Dataset
    arch_g: contracts.Architecture
    arch_d: contracts.Architecture
    loss: contracts.Loss
    norm: contracts.Normalization
    norm_g: contracts.Normalization
    extractor: contracts.Extractor
    metrics: Mapping[str, contracts.Metric]
    entries: Mapping[str, Entry]

    def with_config(self, config: RunConfig) -> Composition:
        """Copy with another configuration of the same components."""
        return replace(self, config=config)

    def open_data(self, downloads: Path) -> tuple[Path | None, contracts.Pictures]:
        """Open the data set; returns where it was looked for, and its pictures."""
        return open_data(self.dataset, self.config.dataset.name, self.config.data_dir, downloads)

    def load_extractor(self, device: str, cache: Path) -> contracts.LoadedExtractor:
        """Load the extractor; raises `ComponentError` where its weights are not there, or what the plugin raises."""
        trained_extractors.check_there(self.extractor.model_dump(mode="json"))
        with blaming(self.entries["extractor"]):
            return self.extractor.load(device, cache)


def compose(layers: Sequence[Layer], catalog: Catalog) -> Composition:
    """Merge `layers` (weakest first) and build what they name.

    A layer's options belong to the component that it names, or, where it names none, to whichever is chosen at last.
    Raises `UsageError` for a component, option or setting that is unknown or wrong.
    """
    made: dict[str, contracts.Component] = {}
    entries: dict[str, Entry] = {}
    tables: dict[str, dict[str, Any]] = {}
    for role, kind in ROLES.items():
        default = cast("contracts.Dataset", made["dataset"]).extractor if role == "extractor" else None
        name = _chosen_name(layers, role) or default
        if name is None:
            flag = f"--{role.replace('_', '-')}"
            example = "shapes" if role == "dataset" else catalog.names(kind)[0]  # shapes need no download
            raise UsageError(f"No {kind} is named: give one with {flag}, such as {flag} {example}.")
        options = _options(layers, role, name, catalog)
        if role == "extractor":
            name, found = trained_extractors.resolve(name, catalog)
            led = trained_extractors.as_given if _says_where_weights_lie(layers) else trained_extractors.found_again
            options = led(found | options)
        made[role] = catalog.make(kind, name, options, role)
        entries[role] = catalog.load(kind, name).entry
        tables[role] = {"name": name, **made[role].model_dump(mode="json")}
    metrics = make_metrics(_metrics(layers), catalog)
    entries |= {f"metrics.{name}": catalog.load("metric", name).entry for name in metrics}
    scalars = merge_scalars(layers)
    if "scored_by" in scalars:
        scalars["scored_by"] = list(metrics)
    config = RunConfig.parse(
        scalars | tables | {"metrics": {name: m.model_dump(mode="json") for name, m in metrics.items()}}
    )
    composition = Composition(config=config, metrics=metrics, entries=entries, **cast("dict[str, Any]", made))
    check_networks(composition, config.size)
    for name, metric in metrics.items():
        if metric.needs_classes and not config.conditional:
            raise UsageError(f"The metric {name!r} needs classes: give --conditional, or leave it out.")
        try:
            metric.accumulator(config.eval_samples)
        except UsageError as error:
            raise UsageError(f"{error} Their number is that of --eval-samples {config.eval_samples}.") from error
    return composition


def names_in(layers: Sequence[Layer]) -> dict[str, str | None]:
    """What `layers` call the component of each role, metrics among them; None where they name none."""
    metrics = {f"metrics.{name}": name for name in _metrics(layers)}
    return {**{role: _chosen_name(layers, role) for role in ROLES}, **metrics}


def make_metrics(tables: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> dict[str, contracts.Metric]:
    """Build metrics from their options, by name; raises `UsageError` for a name or an option that there is not."""
    return {
        name: cast("contracts.Metric", catalog.make("metric", name, options, f"metrics.{name}"))
        for name, options in tables.items()
    }


def compares(metric: contracts.Metric) -> bool:
    """Whether a metric compares generated images with real ones."""
    return metric.reference(10**9) is not None  # images enough for any


def data_root(dataset: contracts.Dataset, name: str, data_dir: str | Path | None) -> Path | None:
    """Where a data set, called `name` in messages, is looked for.

    Raises `NotFoundError` where nothing is there, and `UsageError` where the data set is not read from files.
    """
    if data_dir is None:
        return None
    if not dataset.needs_data_dir:
        raise UsageError(f"The data set {name!r} is not read from files: leave --data-dir out.")
    root = real_path(data_dir)
    if not root.exists():
        raise NotFoundError(f"The data folder {root} does not exist: give --data-dir a folder or an archive.")
    return root


def open_data(
    dataset: contracts.Dataset, name: str, data_dir: str | Path | None, downloads: Path
) -> tuple[Path | None, contracts.Pictures]:
    """Open a data set, called `name` in messages; returns where it was looked for, and its pictures.

    Raises what `data_root` does, and `ComponentError` where the pictures are not what the contract says.
    """
    root = data_root(dataset, name, data_dir)
    pictures = dataset.open(root, downloads)
    if not isinstance(pictures, contracts.Pictures):
        raise ComponentError(
            f"The data set {name!r} opens as {type(pictures).__name__}, not Pictures: tell its author."
        )
    if not (isinstance(pictures.identity, str) and pictures.identity):
        raise ComponentError(
            f"The data set {name!r} has the identity {shortened(repr(pictures.identity))}, no text that names its "
            "content: tell its author."
        )
    names = () if pictures.class_names is None else pictures.class_names
    for what, texts in (("class names", names), ("remarks", pictures.remarks)):
        if not _are_texts(texts):
            raise ComponentError(
                f"The data set {name!r} has the {what} {shortened(repr(texts))}, no sequence of str: tell its author."
            )
    if unclear := [repr(text) for text, count in Counter(names).items() if not text or count > 1]:
        raise ComponentError(
            f"The data set {name!r} has class names that are empty or not all different, {first_of(unclear)}: tell its "
            "author."
        )
    return root, pictures


def own_side(dataset: contracts.Dataset, name: str, pictures: contracts.Pictures) -> int:
    """The side in pixels that a data set, called `name` in messages, uses where none is asked for.

    Raises `ComponentError` where that is no whole number.
    """
    side: object = dataset.default_side(pictures)
    if not (isinstance(side, Integral) and int(side) >= 1):
        raise ComponentError(
            f"The data set {name!r} has the default side {shortened(repr(side))}, no whole number of pixels: tell its "
            "author."
        )
    return int(side)


def _are_texts(found: object) -> bool:
    """Whether it is a sequence of str; a single str is one of its letters."""
    return isinstance(found, Sequence) and not isinstance(found, str) and all(isinstance(each, str) for each in found)


def check_networks(composition: Composition, size: int | None) -> None:
    """Raise `UsageError` where an architecture has no such network, or none for `size` pixels (None: not known yet)."""
    for role, network, sides in (
        ("arch_g", "generator", composition.arch_g.generator_sides),
        ("arch_d", "discriminator", composition.arch_d.discriminator_sides),
    ):
        name = getattr(composition.config, role).name
        if not sides:
            flag = f"--{role.replace('_', '-')}"
            raise UsageError(f"The architecture {name!r} has no {network}: choose another with {flag}.")
        if size is not None and size not in sides:
            near = sorted(sorted(sides, key=lambda side: abs(side - size))[:3])
            raise UsageError(
                f"The {network} {name!r} cannot be built for {size} pixels. Nearest sizes: "
                f"{', '.join(map(str, near))} (of {', '.join(map(str, sides))}); choose with --size."
            )


def _tables(layer: Layer, role: str) -> list[tuple[str | None, dict[str, Any], bool]]:
    """What a layer says of a role: its shared `arch` table first, then the role's own; True marks the shared one."""
    shared = [(*layer.component("arch"), True)] if role in ("arch_g", "arch_d") else []
    return [*shared, (*layer.component(role), False)]


def _chosen_name(layers: Sequence[Layer], role: str) -> str | None:
    names = [name for layer in layers for name, _, _ in _tables(layer, role) if name]
    return names[-1] if names else None


def _options(layers: Sequence[Layer], role: str, name: str, catalog: Catalog) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for layer in layers:
        for named, options, shared in _tables(layer, role):
            if named in (None, name):
                keep = _meant_for(options, role, name, layers, catalog) if shared else options
                chosen.update({key: value for key, value in options.items() if key in keep})
    return chosen


def _says_where_weights_lie(layers: Sequence[Layer]) -> bool:
    """Whether the last layer that leads to an extractor's weights is the user's: records have their SHA-256, too."""
    tables = [options for layer in layers for _, options, _ in _tables(layer, "extractor") if "weights" in options]
    return bool(tables) and "sha256" not in tables[-1]


def _meant_for(options: Mapping[str, Any], role: str, name: str, layers: Sequence[Layer], catalog: Catalog) -> set[str]:
    """Which options of a shared `arch` table go to this network: all but those that only the other one has."""
    if not options:
        return set()
    other = _chosen_name(layers, "arch_d" if role == "arch_g" else "arch_g") or name
    own, others = catalog.options("architecture", name), catalog.options("architecture", other)
    return {key for key in options if key in own or key not in others}


def _metrics(layers: Sequence[Layer]) -> dict[str, dict[str, Any]]:
    """Options of the metrics by name: a layer's `scored_by` chooses them anew, and its tables add to them."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        if "scored_by" in layer.values:
            merged = {name: merged.get(name, {}) for name in metrics_named(layer.values["scored_by"], layer.origin)}
        tables = layer.values.get("metrics", {})
        if not isinstance(tables, Mapping) or not all(isinstance(options, Mapping) for options in tables.values()):
            raise UsageError(f"{layer.origin}: metrics must be tables, such as --set metrics.is.splits=10.")
        for name, options in tables.items():
            merged.setdefault(name, {}).update(options)
    return merged


def metrics_named(chosen: object, origin: str) -> list[str]:
    """The metrics that `origin` chooses, a list or names with commas between, each once; raises `UsageError`."""
    names = [name.strip() for name in chosen.split(",")] if isinstance(chosen, str) else chosen
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        raise UsageError(f"{chosen!r} ({origin}) are no metrics to score by: name some, such as --metric is,fid.")
    return list(dict.fromkeys(names))

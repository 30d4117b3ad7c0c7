"""`sngan evaluate`: scores of trained runs, and of any folder of pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths
from sngan_cli.commands.options import (
    RUN_ID,
    DataDir,
    Device,
    Precision,
    Standing,
    Truncation,
    Weights,
    given,
    path_option,
    seed_option,
    weights_option,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_cli.events import Scored
    from sngan_cli.measuring import Request
    from sngan_cli.scoring import Scores
    from sngan_registry import Run

app = typer.Typer(add_completion=False)


class Labels(StrEnum):
    """How often each class is drawn."""

    EVEN = "even"
    DATA = "data"


@app.command()
def evaluate(
    run_id: Annotated[str | None, RUN_ID] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="WHICH", help="best, last, a step, or all (default: last).")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Metrics (default: the run's own; without a run is, and fid where it can be)."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="How many images: standard, sngan-2018, article or quick.")
    ] = "standard",
    extractor: Annotated[
        str | None,
        typer.Option(
            parser=given,
            metavar="NAME",
            help="Extractor (default: the run's, or the data set's); --set extractor.weights=FILE for its weights.",
        ),
    ] = None,
    images: Annotated[
        Path | None, path_option(metavar="FOLDER", help="Score a folder or archive of pictures in place of a run.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET", parser=given, help="Data set to compare --images with, for metrics that compare."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What the registry is to call --images (default: as before, or by their path).",
        ),
    ] = None,
    data_dir: DataDir = None,
    size: Annotated[
        int | None, typer.Option(min=1, max=4096, metavar="PIXELS", help="Side that --images and data are brought to.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Option of a metric, the extractor or --against, such as metrics.kid.subset_size=500.",
        ),
    ] = None,
    weights: Annotated[
        Weights | None, weights_option("The extractor's are given by --set extractor.weights={}.")
    ] = None,
    seed: Annotated[int | None, seed_option(help="Seed of the latents (default: the run's).")] = None,
    labels: Annotated[
        Labels | None, typer.Option(help="Classes that are drawn: each as often (even), or as often as in the data.")
    ] = None,
    truncation: Truncation = None,
    standing: Standing = False,
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the extractor; what bf16 changes is recorded.")
    ] = Precision.FP32,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores with their evidence as JSON.")] = False,
) -> None:
    """Score checkpoints of a run, or pictures of any origin, by a named protocol.

    Scores are recorded, those of a run with it: `sngan scores list` shows all. Features of real images are extracted
    once and kept.
    """
    from sngan_cli.config.protocols import protocol as find
    from sngan_cli.errors import UsageError
    from sngan_cli.labels import check_label
    from sngan_cli.measuring import Request

    if (run_id is None) == (images is None):
        raise UsageError("Give either a run to score, or pictures with --images FOLDER.")
    if images is not None and against is None and data_dir is not None:
        raise UsageError("--data-dir is where the data set of --against lies: give --against DATASET, too.")
    if run_id is not None and (against is not None or size is not None):
        raise UsageError("--against and --size go with --images: a run is compared with its own data.")
    if name is not None:
        if run_id is not None:
            raise UsageError(f"--name {name!r} cannot be used: it names the pictures of --images.")
        check_label(name, "--name")
    if images is not None and (checkpoint or weights or labels or truncation or standing or seed is not None):
        raise UsageError(
            "--checkpoint, --weights, --labels, --truncation, --standing and --seed say how a run draws: leave them "
            "out beside --images."
        )
    options = _options(set_ or (), against)
    run = None if run_id is None else _found(run_id)
    request = Request(
        metrics=_metrics(metric, options.get("metrics", {}), run, against),
        protocol=find(protocol),
        device=device,
        extractor={**options.get("extractor", {}), **({} if extractor is None else {"name": extractor})},
        data_dir=None if data_dir is None else str(data_dir.absolute()),
        weights=weights,
        seed=seed,
        labels=None if labels is None else labels.value,
        truncation=truncation,
        standing=standing,
        precision=precision.value,
    )
    if run is not None:
        scores = _of_run(run, "last" if checkpoint is None else checkpoint, request)
    else:
        assert images is not None
        dataset = None if against is None else {**options.get("dataset", {}), "name": against}
        scores = _of_pictures(images, dataset, request, size, name)
    _print(scores.found, as_json, of_run=run is not None)
    scores.check_all()


def _options(set_: Sequence[str], against: str | None) -> dict[str, dict[str, Any]]:
    """What --set says of `metrics`, of the `extractor`, and of the `dataset` that pictures are held against."""
    from sngan_cli.config import parse_assignments
    from sngan_cli.errors import UsageError

    values = parse_assignments(set_)
    known = ("metrics", "extractor") if against is None else ("metrics", "extractor", "dataset")
    for key, options in values.items():
        tables = list(options.values()) if key == "metrics" and isinstance(options, dict) else [options]
        if key not in known or not all(isinstance(table, dict) for table in tables):
            raise UsageError(
                f"--set {key}: only options of metrics and the extractor can be set here, and of the data set of "
                "--against, such as --set metrics.is.splits=10 or --set extractor.weights=FILE."
            )
    return values


def _found(run_id: str) -> Run:
    with paths.open_store(create=False) as store:
        return store.get(run_id)


def _metrics(
    chosen: str | None, given: Mapping[str, Any], run: Run | None, against: str | None
) -> dict[str, dict[str, Any]]:
    """The metrics to measure with the options `given`: those named, else the run's, else is, and fid against data."""
    from sngan_cli.composition import metrics_named

    if chosen is not None:
        names = metrics_named(chosen, "--metric")
    elif run is not None:
        names = list(run.config["metrics"])
    else:
        names = ["is"] if against is None else ["is", "fid"]
    return {name: given.get(name, {}) for name in dict.fromkeys([*names, *given])}


def _of_run(run: Run, checkpoint: str, request: Request) -> Scores:
    from sngan_cli.bars import Bars
    from sngan_cli.scoring import evaluate_run

    with paths.open_store(create=False) as store, Bars() as audience:
        return evaluate_run(run, checkpoint, request, paths.place(store), audience)


def _of_pictures(
    images: Path, dataset: Mapping[str, Any] | None, request: Request, size: int | None, name: str | None
) -> Scores:
    from sngan_cli.bars import Bars
    from sngan_cli.errors import NotFoundError
    from sngan_cli.picture_scoring import evaluate_images

    if not images.exists():
        raise NotFoundError(f"--images {images}: there is no such folder or archive.")
    with paths.open_store(create=True) as store, Bars() as audience:
        return evaluate_images(images, dataset, request, paths.place(store), audience, size=size, name=name)


def _print(scores: Sequence[Scored], as_json: bool, *, of_run: bool) -> None:
    from sngan_cli.run_table import protocol_in_words

    if as_json:
        console.print_json(list(scores))
        return
    rows = [
        [
            str(s.step), str(s.evidence.get("generator_weights", "")), s.metric, f"{s.value:.4f}",
            "" if s.std is None else f"{s.std:.4f}", protocol_in_words(s.protocol, [s]),
        ]
        for s in scores
    ]  # fmt: skip
    columns = ("step", "weights", "metric", "value", "std", "protocol")
    first = 0 if of_run else columns.index("metric")  # pictures are of no step, and drawn with no weights
    console.print_table(
        columns[first:],
        [row[first:] for row in rows],
        right={"step", "value", "std"},
        whole=columns[:-1],
        worded={"protocol"},
    )
    for scored in scores:
        if "remark" in scored.evidence:
            console.note(f"{scored.metric}: {scored.evidence['remark']}")

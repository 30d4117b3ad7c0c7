"""`sngan sample`: a grid of images from a trained generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sngan_cli import paths
from sngan_cli.commands.options import (
    Device,
    PictureFile,
    RunId,
    Scale,
    Seed,
    Standing,
    Truncation,
    WhichCheckpoint,
    WhichWeights,
)

if TYPE_CHECKING:
    from sngan_cli.trained import TrainedGenerator

app = typer.Typer(add_completion=False)


@app.command()
def sample(
    run_id: RunId,
    output: PictureFile,
    class_: Annotated[
        str | None, typer.Option("--class", metavar="K", help="Class by name or number (default: one class a row).")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            max=10_000,
            metavar="N",
            help="Number of images, filled up to one row a class (default: 64, or 8 of each of the first 10 classes).",
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1, metavar="N", help="Images in a row.")] = None,
    scale: Scale = 1,
    seed: Seed = 0,
    checkpoint: WhichCheckpoint = "last",
    weights: WhichWeights = None,
    truncation: Truncation = None,
    standing: Standing = False,
    device: Device = "auto",
) -> None:
    """Draw samples of a run; prints the path of the picture on stdout."""
    from sngan_cli.engine import pictures, sampling
    from sngan_cli.outputs import check_output

    check_output(output, pictures.STILL)
    trained = load_trained(run_id, checkpoint, weights, device)
    chosen = trained.class_index(class_) if class_ is not None else None
    classes = len(trained.class_names) if trained.class_names else None
    rows_of = classes if chosen is None else None
    count = images or (8 * min(rows_of, 10) if rows_of else 64)
    width = columns or sampling.columns_of(count, min(rows_of, 10) if rows_of and images is None else rows_of)
    if rows_of and columns is None and count > rows_of:
        count = width * (rows_of if images else min(rows_of, 10))  # no class is left out
    if standing:
        sampling.standing_statistics(trained.network, classes, seed=seed, truncation=truncation)
    z = sampling.latents(trained.network, count, seed, "sample", truncation)
    y = sampling.sheet_labels(classes, chosen, count, width)
    drawn = sampling.images(trained.network, z, y, seed=seed)
    pictures.save(pictures.grid(sampling.to_arrays(drawn), width, scale), output)
    typer.echo(str(output))


def load_trained(run_id: str, checkpoint: str, weights: str | None, device: str) -> TrainedGenerator:
    """Find the run and build its generator."""
    from sngan_cli.engine.device import resolve_device, set_precision
    from sngan_cli.trained import load_generator

    set_precision("fp32", resolve_device(device))
    with paths.open_store(create=False) as store:
        return load_generator(
            store,
            store.get(run_id),
            paths.runs_folder(),
            checkpoint,
            weights=weights,
            device=device,
        )

"""`sngan interpolate`: rows of smooth paths through a trained generator's latent space."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sngan_cli.commands.options import (
    Device,
    PictureFile,
    RunId,
    Scale,
    Seed,
    WhichCheckpoint,
    WhichWeights,
)
from sngan_cli.commands.sample import load_trained

app = typer.Typer(add_completion=False)


class Along(StrEnum):
    """The way from one latent to another."""

    LINEAR = "linear"
    SPHERICAL = "spherical"


@app.command()
def interpolate(
    run_id: RunId,
    output: PictureFile,
    class_: Annotated[
        str | None,
        typer.Option("--class", metavar="K|A:B", help="Class by name or number, or a path from one to another."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Paths (default: one a class, 10 at most; else 8).")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=2, max=1000, metavar="N", help="Images on a path, both ends included.")
    ] = 10,
    along: Annotated[Along, typer.Option(help="Straight lines between latents, or great circles.")] = Along.SPHERICAL,
    figure: Annotated[bool, typer.Option("--figure", help="Draw samples to the left of the paths.")] = False,
    scale: Scale = 1,
    seed: Seed = 0,
    checkpoint: WhichCheckpoint = "last",
    weights: WhichWeights = None,
    device: Device = "auto",
) -> None:
    """Draw paths between random latents, a row each; prints the path of the picture on stdout.

    .gif and .webp animate them. On a conditional run each row keeps one class; --class A:B keeps the latent of each
    row and moves the class.
    """
    from sngan_cli.engine import figures, pictures, sampling
    from sngan_cli.errors import UsageError
    from sngan_cli.outputs import check_output

    check_output(output, (*pictures.STILL, *pictures.ANIMATED))
    animated = output.suffix.lower() in pictures.ANIMATED
    if figure and animated:
        raise UsageError(f"The output {str(output)!r} moves, and --figure stands still: use .png or .jpg.")
    trained = load_trained(run_id, checkpoint, weights, device)
    ends = trained.class_path(class_) if class_ is not None else None
    classes = len(trained.class_names) if trained.class_names else None
    count = rows or figures.rows_of(classes, ends)
    what = (trained.network, classes, ends)
    if figure:
        picture = figures.samples_beside_paths(
            *what, rows=count, steps=steps, seed=seed, along=along.value, scale=scale
        )
        pictures.save(picture, output)
    else:
        images = figures.paths(*what, rows=count, steps=steps, seed=seed, along=along.value)
        if animated:
            across = sampling.columns_of(count, None)
            pictures.save_animation([pictures.grid(images[k::steps], across, scale) for k in range(steps)], output)
        else:
            pictures.save(pictures.grid(images, steps, scale), output)
    typer.echo(str(output))

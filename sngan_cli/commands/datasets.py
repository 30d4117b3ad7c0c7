"""`sngan datasets`: what there is to train on."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import AsJson, DataDir, PictureFile, component_options
from sngan_cli.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from sngan_cli.contracts import Dataset
    from sngan_cli.engine.cache import DecodedPictures

app = typer.Typer(help=COMMANDS["datasets"], no_args_is_help=True, add_completion=False)


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the data sets, and where their pictures come from."""
    from sngan_cli.catalog import Catalog
    from sngan_cli.errors import SnganError

    catalog = Catalog.installed()
    rows: list[dict[str, Any]] = []
    for name in catalog.names("dataset"):
        try:
            component = cast("type[Dataset]", catalog.load("dataset", name).component)
        except SnganError as error:
            rows.append({"name": name, "pictures": "cannot be used", "description": str(error)})
            continue
        source = "--data-dir" if component.needs_data_dir else "drawn, nothing to download"
        if component.downloads:
            source = "downloaded, or --data-dir"
        description = (inspect.getdoc(component) or "").split("\n")[0]
        rows.append({"name": name, "pictures": source, "description": description})
    if as_json:
        console.print_json(rows)
        return
    console.print_table(("name", "pictures", "description"), [tuple(row.values()) for row in rows], whole={"name"})


DataSet = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set.")]
Size = Annotated[
    int | None, typer.Option(min=1, max=4096, metavar="PIXELS", help="Side in pixels (default: the data set's own).")
]
Options = Annotated[
    list[str] | None, typer.Option("--set", metavar="dataset.KEY=VALUE", help="An option of the data set.")
]


@app.command("prepare")
def prepare_pictures(
    dataset: DataSet,
    data_dir: DataDir = None,
    size: Size = None,
    set_: Options = None,
    as_json: AsJson = False,
) -> None:
    """Download and decode a data set, which else the first training does; prints where its pictures lie."""
    decoded = _prepared(dataset, data_dir, size, set_, thorough=True)
    count, side = decoded.images.shape[:2]
    classes = decoded.class_names or ()
    if as_json:
        console.print_json(
            {
                "path": str(decoded.path), "pictures": count, "side": side, "classes": list(classes),
                "skipped": dict(decoded.skipped), "remarks": list(decoded.remarks),
                "data_sha256": decoded.data_sha256,
            }
        )  # fmt: skip
        return
    sorted_ = counted(len(classes), "class", "classes") if classes else "no classes"
    console.note(f"{dataset}: {counted(count, 'picture')} of {side} px, {sorted_}, content {decoded.data_sha256[:12]}")
    typer.echo(str(decoded.path))


@app.command()
def preview(
    dataset: DataSet,
    output: PictureFile,
    data_dir: DataDir = None,
    size: Size = None,
    images: Annotated[
        int | None,
        typer.Option("-n", min=1, metavar="N", help="Number of pictures (default: 100, and of a class 10 at most)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the choice of pictures.")] = 0,
    set_: Options = None,
) -> None:
    """Draw pictures of a data set as training sees them, one class a row; prints the picture's path."""
    from sngan_cli.engine import pictures
    from sngan_cli.outputs import check_output

    check_output(output, pictures.STILL)
    chosen, columns = _choose(_prepared(dataset, data_dir, size, set_), images=images, seed=seed)
    pictures.save(pictures.grid(chosen, columns), output)
    typer.echo(str(output))


def _prepared(
    dataset: str, data_dir: Path | None, size: int | None, set_: list[str] | None, *, thorough: bool = False
) -> DecodedPictures:
    """The pictures of a data set, decoded, with a warning of those that cannot be."""
    from sngan_cli.bars import Bars
    from sngan_cli.catalog import Catalog, blaming
    from sngan_cli.composition import open_data, own_side
    from sngan_cli.engine.cache import prepare

    options = component_options(set_ or (), {"dataset": dataset})["dataset"]
    catalog = Catalog.installed()
    component = cast("Dataset", catalog.make("dataset", dataset, options))
    with blaming(catalog.load("dataset", dataset).entry):
        _, pictures = open_data(component, dataset, data_dir, paths.cache_folder() / "downloads")
        side = size or own_side(component, dataset, pictures)
        with Bars() as bars:
            comparing = partial(bars.show, "comparing MiB") if thorough else None
            decoded = prepare(pictures, side, paths.cache_folder() / "pictures", bars.decoding, comparing=comparing)
    decoded.tell(console.warn)
    return decoded


def _choose(decoded: DecodedPictures, *, images: int | None, seed: int) -> tuple[np.ndarray, int]:
    """Pictures in rows, and how many make a row; one of a class that has fewer is filled up with white."""
    import math

    import numpy as np

    order = np.random.default_rng(seed).permutation(len(decoded.images))
    labels = decoded.labels[order]
    if decoded.class_names is None:
        chosen = order[: images or 100]
        return decoded.images[np.sort(chosen)], math.isqrt(len(chosen) - 1) + 1
    rows = [order[labels == label] for label in np.unique(labels)]
    of_each = min(10, 100 // len(rows)) if images is None else images // len(rows)
    columns = min(max(1, of_each), max(map(len, rows)))
    sheet = np.full((len(rows), columns, *decoded.images.shape[1:]), 255, np.uint8)
    for place, row in zip(sheet, rows, strict=True):
        place[: len(row)] = decoded.images[row[:columns]]
    return sheet.reshape(-1, *decoded.images.shape[1:]), columns

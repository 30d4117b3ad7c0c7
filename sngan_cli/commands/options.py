"""Options that several commands take, and how what is given for them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sngan_cli.home import expanded


def given(text: str) -> str:
    """What is given for an option that must say something; raises `typer.BadParameter` where it says nothing."""
    if not text.strip():
        raise typer.BadParameter("it is empty: say which one.")
    return text


def given_path(text: str) -> Path:
    """A path that is given, which may begin with ~; an empty one would silently mean the current folder."""
    return expanded(given(text))


def path_option(*names: str, help: str, metavar: str = "PATH", **more: Any) -> Any:
    """An option that takes a path."""
    return typer.Option(*names, help=help, metavar=metavar, parser=given_path, **more)


def number_option(*names: str, least: float, most: float, help: str, metavar: str = "NUMBER") -> Any:
    """An option that takes a number between two others; NaN is none."""

    def between(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise typer.BadParameter(f"{text!r} is no number from {least:g} to {most:g}.")
        return number

    return typer.Option(*names, help=f"{help} ({least:g} to {most:g}).", metavar=metavar, parser=between)


def seed_option(*names: str, help: str) -> Any:
    """An option that takes a seed, as torch takes it."""

    def seed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = -1
        if not 0 <= number < 2**63:
            raise typer.BadParameter(f"{text!r} is no whole number from 0 to {2**63 - 1}.")
        return number

    return typer.Option(*names, help=help, metavar="N", parser=seed)


class Precision(StrEnum):
    """Arithmetic of convolutions and matrix products."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"


class Weights(StrEnum):
    """Which of the generator's weights draw."""

    RAW = "raw"
    AVERAGED = "averaged"


def weights_option(otherwise: str = "") -> Any:
    """The option that takes raw or averaged; of a file, say, it says what is to be done `otherwise`."""

    def which(text: str) -> Weights:
        try:
            return Weights(text)
        except ValueError as error:
            said = f"{text!r} is neither raw nor averaged, which are weights of G. {otherwise.format(text)}"
            raise typer.BadParameter(said.rstrip()) from error

    return typer.Option(
        "--weights",
        parser=which,
        metavar="|".join(Weights),
        help="Raw or averaged weights of G (default: those the run is scored with).",
    )


RUN_ID = typer.Argument(metavar="RUN_ID", help="Id (or unique prefix), name, @last or @best.")
RunId = Annotated[str, RUN_ID]
RunIds = Annotated[list[str], typer.Argument(metavar="RUN_ID", help="Ids (or unique prefixes), names, @last or @best.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RecordsAsJson = Annotated[bool, typer.Option("--json", help="Print complete records as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
# Where what stands for a value is the name in capitals, typer 0.27 wants the name said, or has it in capitals too.
DataDir = Annotated[Path | None, path_option(help="Folder or archive that holds the data set.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")]

PictureFile = Annotated[Path, path_option("--output", "-o", help="Picture to write; its ending says the format.")]
Scale = Annotated[int, typer.Option(min=1, max=32, metavar="N", help="Enlarge each pixel so many times.")]
Seed = Annotated[int, seed_option(help="Seed of the latents.")]
WhichCheckpoint = Annotated[str, typer.Option("--checkpoint", metavar="WHICH", help="last, best or a step.")]
WhichWeights = Annotated[Weights | None, weights_option()]
Truncation = Annotated[
    float | None,
    number_option(least=0.01, most=10, metavar="T", help="Cut latents off at +-T: finer images, and less varied ones"),
]
Standing = Annotated[
    bool, typer.Option("--standing", help="Give G's batch norms the statistics of 10000 of its own images.")
]


def component_options(set_: Sequence[str], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The options that --set gives components, to each role (such as dataset) those of the one that is named for it.

    Raises `UsageError` for a setting of anything else, and for another name.
    """
    from sngan_cli.config import parse_set
    from sngan_cli.errors import UsageError

    layer = parse_set(set_)
    called = {role: role.replace("dataset", "data set") for role in names}
    allowed = " and ".join(f"the {word}" for word in called.values())
    if others := sorted(set(layer.values) - set(names)):
        raise UsageError(
            f"--set {others[0]}: only options of {allowed} can be set here, such as {next(iter(names))}.KEY=VALUE."
        )
    found = {role: layer.component(role) for role in names}
    for role, (other, _) in found.items():
        if other is not None:
            raise UsageError(f"--set {role}.name={other}: the {called[role]} is {names[role]!r}.")
    return {role: options for role, (_, options) in found.items()}

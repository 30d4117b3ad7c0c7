"""What is given for options: empty paths, numbers that are none, names that cannot be kept, in plain words."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.models import ParameterInfo

from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import given_path
from sngan_cli.contracts import Loss
from sngan_cli.errors import UsageError


def said(text: str) -> str:
    """Text without the frame and the line breaks of a terminal's box."""
    return " ".join(text.replace("│", " ").split())


def command(name: str) -> typer.Typer:
    app = import_module(f"sngan_cli.commands.{name}").app
    assert isinstance(app, typer.Typer)
    return app


def path_parameters(of: typer.Typer) -> Iterator[tuple[str, ParameterInfo]]:
    """Every option and argument of the program that is a path, with the command's name."""
    for one in of.registered_commands:
        assert one.callback is not None
        for name, hint in typing.get_type_hints(one.callback, include_extras=True).items():
            kind, *more = typing.get_args(hint) or (hint,)
            if kind is Path or Path in typing.get_args(kind):
                (info,) = more
                yield f"{one.callback.__name__} {name}", info


def test_no_path_of_any_command_may_be_empty() -> None:
    found = {name: info for app in map(command, COMMANDS) for name, info in path_parameters(app)}
    assert {"train data_dir", "evaluate images", "preview output", "plot output", "list_experiments folder"} <= set(
        found
    )
    assert [name for name, info in found.items() if info.parser is not given_path] == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "--dataset", "shapes", "--data-dir", "", "--dry-run"], "--data-dir"),
        (["datasets", "prepare", "folder", "--data-dir", ""], "--data-dir"),
        (["evaluate", "--images", " ", "--against", "shapes"], "--images"),
        (["sample", "@last", "-o", ""], "-o"),
        (["experiments", "list", ""], "FOLDER"),
        (["--registry", "", "runs", "list"], "--registry"),
    ],
)
def test_an_empty_path_is_refused(sngan: Any, arguments: list[str], option: str) -> None:
    done = sngan(*arguments)
    assert (done.code, done.out) == (2, "")
    assert option in done.err
    assert "it is empty: say which one." in said(done.err)


def test_an_empty_data_folder_in_a_configuration_is_refused(sngan: Any) -> None:
    done = sngan("train", "--dataset", "shapes", "--set", "data_dir=", "--dry-run")
    assert (done.code, "data_dir = '' cannot be used" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--compile", "maybe"], "'--compile': 'maybe' is not one of"),
        (["runs", "list", "--status", "done"], "'--status': 'done' is not one of"),
        (["extractors", "train", "x", "--dataset", "shapes", "--held-out", "nan"],
         "'--held-out': 'nan' is no number from 0.001 to 0.9."),
        (["extractors", "train", "x", "--dataset", "shapes", "--lr", "1e3"],
         "'--lr': '1e3' is no number from 1e-08 to 100."),
        (["sample", "@last", "-o", "x.png", "--truncation", "nan"], "'--truncation': 'nan' is no number from 0.01 to"),
        (["sample", "@last", "-o", "x.png", "--truncation", "much"], "'--truncation': 'much' is no number from 0.01"),
        (["train", "--dataset", "shapes", "--lr", "nan"], "lr_g = nan cannot be used: input should be a finite number"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_named_with_those_that_can(sngan: Any, arguments: list[str], message: str) -> None:
    done = sngan(*arguments)
    assert (done.code, message in said(done.err)) == (2, True), done.err
    assert "Value error" not in done.err


def test_a_whole_number_out_of_range_is_named(sngan: Any) -> None:
    done = sngan("extractors", "train", "x", "--dataset", "shapes", "--epochs", "0")
    assert done.code == 2
    assert "0" in said(done.err).split("'--epochs': ")[1]


def test_what_a_components_own_check_says_is_said_as_it_is() -> None:
    from pydantic import field_validator

    from sngan_cli.catalog import Catalog, Entry

    class Picky(Loss, contract=1):
        margin: float = 1.0

        @field_validator("margin")
        @classmethod
        def _small(cls, margin: float) -> float:
            if margin > 2:
                raise ValueError("A margin beyond 2 trains nothing.")
            return margin

        def discriminator(self, real_logits: Any, fake_logits: Any) -> Any: ...

        def generator(self, fake_logits: Any) -> Any: ...

    globals()["Picky"] = Picky
    catalog = Catalog([Entry("loss", "picky", f"{__name__}:Picky", "theirs", "1")])
    with pytest.raises(UsageError) as refused:
        catalog.make("loss", "picky", {"margin": 3.0})
    assert str(refused.value) == "loss.margin = 3.0 cannot be used: a margin beyond 2 trains nothing."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\nb", "--name 'a\\nb' holds control characters"),
        ("a\x9bb", "--name 'a\\x9bb' holds control characters"),
        ("x" * 256, "--name xxxxxxxxxxxxxxxxxxxx... has 256 letters: 255 are allowed"),
        (" ", "--name ' ' is empty"),
        ("\udcff", "is no valid Unicode"),
    ],
)
def test_a_name_that_cannot_be_kept_is_refused_for_runs_and_pictures(
    sngan: Any, tmp_path: Path, name: str, message: str
) -> None:
    for command in (["train", "--dataset", "shapes"], ["evaluate", "--images", tmp_path, "--against", "shapes"]):
        done = sngan(*command, "--name", name)
        assert (done.code, message in done.err) == (2, True), done.err


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "--dataset", LONG], 2),
        (["train", "--dataset", "shapes", "--arch", LONG], 2),
        (["train", "--dataset", "shapes", "--recipe", LONG], 2),
        (["train", "--dataset", "shapes", "--set", f"{LONG}=1"], 2),
        (["train", "--dataset", "shapes", "--set", f"loss.{LONG}=1"], 2),
        (["train", "--dataset", "shapes", "--set", f"dataset.tilt={LONG}"], 2),
        (["train", "--dataset", "shapes", "--extractor", LONG], 2),
        (["evaluate", "--images", ".", "--against", "shapes", "--protocol", LONG], 2),
        (["extractors", "show", LONG], 3),
        (["extractors", "train", LONG, "--dataset", "shapes"], 2),
        (["plugins", "show", LONG], 2),
        (["experiments", "run", LONG], 3),
        (["scores", "rm", LONG], 3),
        (["runs", "show", LONG], 3),
    ],
)
def test_a_long_name_is_cut_in_the_error(sngan: Any, arguments: list[str], code: int) -> None:
    done = sngan(*arguments)
    assert done.code == code
    assert "x" * 50 in done.err
    assert "…" in done.err
    assert "x" * 61 not in done.err

"""What is given for options: empty paths, numbers that are none, names that cannot be kept, in plain words."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from enum import EnumType
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.models import OptionInfo, ParameterInfo

from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import given_path
from sngan_cli.contracts import Loss
from sngan_cli.errors import UsageError
from sngan_registry import Store


def said(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def command(name: str) -> typer.Typer:
    app = import_module(f"sngan_cli.commands.{name}").app
    assert isinstance(app, typer.Typer)
    return app


def parameters(of: typer.Typer) -> Iterator[tuple[str, set[Any], ParameterInfo]]:
    """Every option and argument of the commands: its name after the command's, its types, and what is said of it."""
    for one in of.registered_commands:
        assert one.callback is not None
        for name, hint in typing.get_type_hints(one.callback, include_extras=True).items():
            kind, *more = typing.get_args(hint) or (hint,)
            if more:
                yield f"{one.callback.__name__} {name}", {kind, *typing.get_args(kind)}, more[0]


def path_parameters(of: typer.Typer) -> Iterator[tuple[str, ParameterInfo]]:
    """Every option and argument that is a path."""
    return ((name, info) for name, kinds, info in parameters(of) if Path in kinds)


def is_choice(kinds: set[Any]) -> bool:
    """Whether the values themselves can stand for what is to be given."""
    return any(typing.get_origin(kind) is typing.Literal or isinstance(kind, EnumType) for kind in kinds)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_in_words_what_it_takes(name: str) -> None:
    found = list(parameters(command(name)))
    assert len(found) > 1
    nameless = [what for what, kinds, info in found if bool not in kinds and not is_choice(kinds) and not info.metavar]
    assert nameless == []
    assert [what for what, _, info in found if not (info.help or "").endswith(".")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_not_called_by_its_capitals(name: str) -> None:
    """As typer 0.27 calls one whose value is called by the same word, unless it is told the name."""
    options = [(what.split()[1], info) for what, _, info in parameters(command(name)) if isinstance(info, OptionInfo)]
    told = {what: (info.default, *(info.param_decls or ())) for what, info in options if info.metavar == what.upper()}
    assert [what for what, names in told.items() if f"--{what}" not in names] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_screen_speaks_of_no_types_and_is_whole(sngan: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    app = command(name)
    subcommands = [""] if len(app.registered_commands) == 1 and not app.registered_callback else [
        one.name or (one.callback.__name__ if one.callback else "") for one in app.registered_commands
    ]  # fmt: skip
    for subcommand in subcommands:
        words = [name, subcommand] if subcommand else [name]
        screen = sngan(*words, "--help").out
        assert screen.startswith(f"Usage: sngan {' '.join(words)} [OPTIONS]")
        assert re.findall(r"[<>{}…]", re.sub("[<>]=", "", screen)) == []
        assert re.findall(r" (?:str|int|float|bool|Path|INTEGER|9223372036854775807)\b", screen) == []
        assert all(len(line) <= 60 for line in screen.splitlines())


def test_usage_and_sections_of_a_help_screen(sngan: Any) -> None:
    plot = sngan("runs", "plot", "--help").out
    assert plot.startswith("Usage: sngan runs plot [OPTIONS] RUN_ID...\n")
    assert "\nArguments:\n  RUN_ID...  Ids (or unique prefixes), names, @last or @best.  [required]\n" in plot
    assert sngan("runs", "watch", "--help").out.startswith("Usage: sngan runs watch [OPTIONS] [RUN_ID]\n")
    train = sngan("train", "--help").out
    heads = [line for line in train.splitlines() if re.fullmatch(r"\S.*:", line)]
    assert heads == ["Components:", "Training:", "Record:", "Where settings come from:", "Options:"]
    assert "  --precision fp32|tf32|bf16  Arithmetic of convolutions" in train
    assert "varied ones (0.01 to 10)." in sngan("sample", "--help").out


@pytest.mark.parametrize("words", [[], ["runs"], ["runs", "list"], ["train"]])
def test_h_is_short_for_help(sngan: Any, words: list[str]) -> None:
    short, long = sngan(*words, "-h"), sngan(*words, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "  -h, --help" in long.out


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
        (["train", "--recipe", "", "--dataset", "shapes", "--dry-run"], "--recipe"),
        (["runs", "list", "--sort", ""], "--sort"),
        (["runs", "plot", "@last", "-o", "x.svg", "--what", ""], "--what"),
    ],
)
def test_an_empty_path_or_name_is_refused(sngan: Any, arguments: list[str], option: str) -> None:
    done = sngan(*arguments)
    assert (done.code, done.out) == (2, "")
    assert option in done.err
    assert "it is empty: say which one." in said(done.err)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--registry", "~nobody-there/registry.db", "runs", "list"], 4),
        (["train", "--dataset", "folder", "--data-dir", "~nobody-there/pictures", "--dry-run"], 2),
        (["train", "--dataset", "folder", "--set", "data_dir=~nobody-there/pictures"], 2),
        (["evaluate", "--images", "~nobody-there/pictures", "--metric", "is"], 2),
        (["experiments", "show", "~nobody-there/mine.toml"], 2),
        (["sample", "@last", "-o", "~nobody-there/sheet.png"], 2),
    ],
)
def test_a_home_of_nobody_is_named(sngan: Any, arguments: list[str], code: int) -> None:
    done = sngan(*arguments)
    assert (done.code, done.out) == (code, "")
    assert "~nobody-there/" in done.err
    assert "the home of a user who is not there: write ~/ for your own." in done.err


def test_a_path_may_begin_in_the_home(sngan: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in --output=~/copy.db, where the shell leaves it as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    Store.open(home / "registry.db").dispose()
    assert sngan("registry", "backup", "~/copy.db").code == 0
    assert (tmp_path / "copy.db").is_file()


@pytest.mark.parametrize("option", ["dataset", "arch", "arch-d", "loss", "norm", "norm-g", "extractor"])
def test_an_empty_name_is_not_taken_for_the_default(sngan: Any, option: str) -> None:
    done = sngan("train", "--dataset", "shapes", f"--{option}", "", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert f"{option.replace('-', '_')} = '' names none: name one, or leave it out." in done.err


def test_an_empty_data_folder_in_a_configuration_is_refused(sngan: Any) -> None:
    done = sngan("train", "--dataset", "shapes", "--set", "data_dir=", "--dry-run")
    assert (done.code, "data_dir = '' cannot be used" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--steps", "1.5"], "'--steps': '1.5': input should be a valid integer."),
        (["train", "--compile", "maybe"], "'--compile': 'maybe' is not one of"),
        (["runs", "list", "--status", "done"], "'--status': 'done' is not one of"),
        (["sample", "@last", "-o", "x.png", "--weights", "ema"],
         "'--weights': 'ema' is neither raw nor averaged, which are weights of G."),
        (["evaluate", "@last", "--weights", "a{0}.pth"],
         "which are weights of G. The extractor's are given by --set extractor.weights=a{0}.pth."),
        (["extractors", "train", "x", "--dataset", "shapes", "--held-out", "nan"],
         "'--held-out': 'nan' is no number from 0.001 to 0.9."),
        (["extractors", "train", "x", "--dataset", "shapes", "--lr", "1e3"],
         "'--lr': '1e3' is no number from 1e-08 to 100."),
        (["sample", "@last", "-o", "x.png", "--truncation", "nan"], "'--truncation': 'nan' is no number from 0.01 to"),
        (["sample", "@last", "-o", "x.png", "--truncation", "much"], "'--truncation': 'much' is no number from 0.01"),
        (["train", "--dataset", "shapes", "--lr", "nan"], "lr_g = nan cannot be used: input should be a finite number"),
        (["sample", "@last", "-o", "x.png", "--seed", "-1"], "'--seed': '-1' is no whole number from 0 to 92"),
        (["evaluate", "@last", "--seed", str(2**63)], f"'--seed': '{2**63}' is no whole number from 0 to {2**63 - 1}."),
        (["extractors", "train", "x", "--dataset", "shapes", "--seed", "1.5"], "'--seed': '1.5' is no whole number"),
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
        (["train", "--dataset", LONG], 3),
        (["train", "--dataset", "shapes", "--arch", LONG], 3),
        (["train", "--dataset", "shapes", "--recipe", LONG], 3),
        (["train", "--dataset", "shapes", "--set", f"{LONG}=1"], 2),
        (["train", "--dataset", "shapes", "--set", f"loss.{LONG}=1"], 2),
        (["train", "--dataset", "shapes", "--set", f"dataset.tilt={LONG}"], 2),
        (["train", "--dataset", "shapes", "--extractor", LONG], 3),
        (["evaluate", "--images", ".", "--against", "shapes", "--protocol", LONG], 3),
        (["extractors", "show", LONG], 3),
        (["extractors", "train", LONG, "--dataset", "shapes"], 2),
        (["plugins", "show", LONG], 3),
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

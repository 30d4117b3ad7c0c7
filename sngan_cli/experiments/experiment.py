"""An experiment as a TOML file: what is fixed, what changes from case to case, and what was published."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from sngan_cli.config import Layer, flat, merge_scalars
from sngan_cli.config import recipe as read_recipe
from sngan_cli.errors import NotFoundError, UsageError, did_you_mean, no_such
from sngan_cli.home import expanded
from sngan_cli.wording import complaint, shortened

_OF_LENGTH = {"steps", "epochs", "eval_every"}
"""Settings that say how long a run is trained, and how often it is scored."""


class _Table(BaseModel):
    """The file as it is written; settings are checked as layers."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=1)
    source: str = ""
    measured: str = ""
    note: str = ""
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    fixed: dict[str, Any] = {}
    cases: list[dict[str, Any]] = Field(min_length=1)


class _Case(BaseModel):
    """What a case says besides its settings."""

    model_config = ConfigDict(extra="allow", strict=True)
    case: int | str
    note: str = ""
    published: dict[str, FiniteFloat | int] = {}


@dataclass(frozen=True)
class Case:
    """One row of the table: its name, the settings that are its own, and published values by metric."""

    name: str
    settings: Layer
    published: Mapping[str, float]
    note: str


@dataclass(frozen=True)
class Experiment:
    """Fixed conditions and cases. `source` says where the table comes from, `measured` how its scores were."""

    name: str
    title: str
    source: str
    measured: str
    note: str
    seeds: tuple[int, ...]
    fixed: Layer
    cases: tuple[Case, ...]
    text: str = field(repr=False)

    def case(self, name: str) -> Case:
        """Find a case by name; raises `NotFoundError` where there is none such."""
        for case in self.cases:
            if case.name == name:
                return case
        names = ", ".join(case.name for case in self.cases)
        raise NotFoundError(f"The experiment {self.name!r} has no case {name!r}: choose one of {names}.")

    def conditions(self) -> list[str]:
        """Settings that change from case to case, in the order of their appearance."""
        return list(dict.fromkeys(key for case in self.cases for key in flat(case.settings.values)))

    def differing(self) -> set[str]:
        """Settings in which cases differ, those of both networks under the name of each."""
        own = [_of_each_network(case.settings.values) for case in self.cases]
        return {key for values in own for key in values if any(each.get(key) != values[key] for each in own)}

    def check(self, overrides: Sequence[Layer]) -> None:
        """Raise `UsageError` for an override of what differs between cases: they would not be what they are called.

        How long they are trained, and how often scored, may be overridden: so all of them are tried in a short time.
        """
        kept = self.differing() - _OF_LENGTH
        for layer in overrides:
            for key, value in flat(layer.values).items():
                if taken := sorted(kept & _of_each_network({key: value}).keys()):
                    raise UsageError(
                        f"{layer.origin}: {key} = {value!r} would override {' and '.join(taken)}, in which the cases "
                        f"of {self.name} differ: leave it out."
                    )

    def layers(self, case: Case, seed: int, overrides: Sequence[Layer]) -> list[Layer]:
        """All layers of a case's configuration, weakest first: recipe, fixed, the case's own, overrides, seed."""
        own = [self.fixed, case.settings, *overrides, Layer("the seed", {"seed": seed})]
        return [read_recipe(str(merge_scalars(own).get("recipe", "paper"))), *own]


def built_in() -> list[str]:
    """Names of the experiments that come with sngan."""
    return sorted(path.name.removesuffix(".toml") for path in _tables().iterdir() if path.name.endswith(".toml"))


def load(name: str) -> Experiment:
    """Read an experiment by name, or a user's own by path (anything with a slash, or that ends in .toml).

    Raises `NotFoundError` where there is none such and `UsageError`, naming file, line and key, where it says nonsense.
    """
    if name in built_in():
        return parse((_tables() / f"{name}.toml").read_text(encoding="utf-8"), name, f"experiment {name}")
    path = expanded(name)
    try:
        is_folder, is_file = bool(name) and path.is_dir(), path.is_file()  # the path '' would be the current folder
    except OSError:  # such as a name that is too long for any file
        is_folder = is_file = False
    if is_folder:
        inside = ", ".join(str(found) for found in sorted(path.glob("*.toml"))) or "no .toml file"
        raise UsageError(f"The experiment {name!r} is a folder: name a file. In it: {inside}.")
    if not is_file and path.suffix != ".toml" and "/" not in name:
        raise NotFoundError(
            f"{no_such('experiment', name, built_in())} One of your own is named by its path, such as ./mine.toml."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file {name!r}: `sngan experiments list` shows what comes along.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"The experiment {name!r} cannot be read: {reason}.") from error
    if not re.fullmatch(r"[\w.+-]+", path.stem):
        raise UsageError(
            f"The file {name!r} cannot name an experiment: rename the file, to letters, digits, '.', '_', '+' and '-'."
        )
    return parse(text, path.stem, name)


def parse(text: str, name: str, origin: str) -> Experiment:
    """Parse an experiment; `origin` is what messages call the file."""
    try:
        table = _Table.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        hint = ""
        if "overwrite" in str(error):
            hint = " A component that has options is written as arch.name = ... and arch.width = ..., for instance."
        raise UsageError(f"{origin} is not valid TOML: {error}.{hint}") from error
    except ValidationError as error:
        raise UsageError(_explain(error, origin, text, None, [*_Table.model_fields])) from error
    fixed = _layer(table.fixed, origin, text, None)
    cases: list[Case] = []
    for index, values in enumerate(table.cases):
        try:
            said = _Case.model_validate(values)
        except ValidationError as error:
            raise UsageError(_explain(error, origin, text, index, [*_Case.model_fields])) from error
        where = f"{place(origin, text, index, 'case')}: case {said.case!r}"
        if not re.fullmatch(r"[\w.+-]{1,60}", str(said.case)):
            raise UsageError(
                f"{where} must be named by a number, or by 60 letters, digits, '.', '_', '+' and '-' at most."
            )
        if str(said.case) in {case.name for case in cases}:
            raise UsageError(f"{where} is there twice: give each case a name of its own.")
        settings = _layer(said.model_extra or {}, origin, text, index)
        for key in settings.scalars().keys() & fixed.scalars().keys():
            raise UsageError(
                f"{place(origin, text, index, key)}: {key} = {settings.scalars()[key]!r} changes what [fixed] fixes at "
                f"{fixed.scalars()[key]!r}: say it in one of both places."
            )
        cases.append(Case(str(said.case), settings, said.published, said.note.strip()))
    return Experiment(
        name, table.title, table.source, table.measured, table.note.strip(), tuple(dict.fromkeys(table.seeds)), fixed,
        tuple(cases), text,
    )  # fmt: skip


def place(origin: str, text: str, case: int | None, key: str) -> str:
    """Say where a key stands: `FILE, line N`. `case` is the index of a case; None is everything before the cases."""
    line = _line_of(text, case, key)
    return origin if line is None else f"{origin}, line {line}"


def _of_each_network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names; `arch` and `lr`, which stand for both networks, under the names of each."""
    found: dict[str, Any] = {}
    for key, value in flat(settings).items():
        role, dot, option = key.partition(".")
        networks = ("_g", "_d") if role in ("arch", "lr") else ("",)
        found |= {f"{role}{network}{dot}{option}": value for network in networks}
    return found


def _line_of(text: str, case: int | None, key: str) -> int | None:
    """Line (from 1) of a key, or of its case where the key cannot be found there."""
    assignment = re.compile(rf"(?:^|[{{,])\s*[\"']?{re.escape(key)}[\"']?\s*(?:=|\.)")
    current, header = -1, None
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(r"\s*(\[\[cases\]\]|(cases\s*=\s*\[\s*)?\{)", line):
            current += 1
            header = number if current == case else header
        if current == (-1 if case is None else case) and assignment.search(line):
            return number
    return header


def _layer(values: Mapping[str, Any], origin: str, text: str, case: int | None) -> Layer:
    """Check settings one by one, so that a mistake is named with its line."""
    for key, value in values.items():
        where = place(origin, text, case, key)
        if key == "seed":
            raise UsageError(f"{where}: seed = {value!r}: seeds of all cases stand at the top, as seeds = [0, 1, 2].")
        Layer(where, {key: value})
    return Layer(place(origin, text, case, "steps") if {"steps", "epochs"} <= values.keys() else origin, values)


def _explain(error: ValidationError, origin: str, text: str, case: int | None, known: Sequence[str]) -> str:
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    where = place(origin, text, case, key)
    if first["type"] == "extra_forbidden":
        return f"{where}: there is nothing called {shortened(key)!r} here.{did_you_mean(key, known)}"
    if first["type"] == "missing":
        return f"{where}: {'the case' if case is not None else 'the experiment'} has no {key!r}."
    # Where a value may be of several types, the checker appends the one that it tried: not part of the key.
    loc = [str(part) for part in first["loc"] if part not in ("int", "str", "float")]
    return f"{where}: {'.'.join(loc)} = {first['input']!r}: {complaint(error)}."


def _tables() -> Any:
    return files("sngan_cli.experiments") / "tables"

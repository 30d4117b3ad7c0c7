"""Where settings come from. A layer is one source; layers are merged from the weakest to the strongest:
recipe < --config or --like < --set < flags.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sngan_cli.config.run_config import ROLES, SETTINGS
from sngan_cli.errors import NotFoundError, UsageError, did_you_mean, no_such
from sngan_cli.wording import shortened

_COMPONENT_TABLES = {*ROLES, "arch", "metrics"}
_NAMES = {*ROLES, "arch", "recipe"}


@dataclass(frozen=True)
class Layer:
    """Settings from one source. `arch` stands for both networks and `lr` for both rates until layers are merged."""

    origin: str
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        for key, value in self.values.items():
            if key not in SETTINGS:
                raise UsageError(f"{self.origin}: there is no setting {shortened(key)!r}.{did_you_mean(key, SETTINGS)}")
            if key in _COMPONENT_TABLES and not isinstance(value, Mapping | str):
                raise UsageError(f"{self.origin}: {key} = {value!r} must be a name or a table.")
            if key in _NAMES and "" in (value, value.get("name") if isinstance(value, Mapping) else None):
                raise UsageError(f"{self.origin}: {key} = '' names none: name one, or leave it out.")
            if key in ROLES and isinstance(value, Mapping) and not isinstance(value.get("name", ""), str):
                raise UsageError(f"{self.origin}: {key}.name = {value['name']!r} must be a name.")
        if "steps" in self.values and "epochs" in self.values:
            raise UsageError(f"{self.origin}: give either steps or epochs, not both.")

    def component(self, role: str) -> tuple[str | None, dict[str, Any]]:
        """Name and options that this layer gives a component table; (None, {}) where it says nothing of it."""
        value = self.values.get(role, {})
        if isinstance(value, str):
            return value, {}
        return value.get("name"), {key: option for key, option in value.items() if key != "name"}

    def scalars(self) -> dict[str, Any]:
        """The settings that are no component, `lr` spelled out for both networks."""
        found = {key: value for key, value in self.values.items() if key not in _COMPONENT_TABLES}
        rate = found.pop("lr", None)
        return found if rate is None else {"lr_g": rate, "lr_d": rate} | found


def merge_scalars(layers: Sequence[Layer]) -> dict[str, Any]:
    """Merge the plain settings, weakest layer first. Steps and epochs displace one another."""
    merged: dict[str, Any] = {}
    for layer in layers:
        values = layer.scalars()
        for one, other in (("steps", "epochs"), ("epochs", "steps")):
            if one in values:
                merged.pop(other, None)
        merged.update(values)
    return merged


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names, a component's name under its role."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            settings |= {key if inner == "name" else f"{key}.{inner}": deep for inner, deep in flat(value).items()}
        else:
            settings[key] = value
    return settings


def shared_name(key: str) -> tuple[str, str] | None:
    """Name D's counterpart of a setting of G, and both together: `arch_g.width` gives `arch_d.width`, `arch.width`."""
    role, dot, option = key.partition(".")
    if role not in ("arch_g", "lr_g"):
        return None
    return role.replace("_g", "_d") + dot + option, role.removesuffix("_g") + dot + option


def united(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings, said once where both networks agree: `arch` for `arch_g` and `arch_d`, `lr` for both rates."""
    found = dict(settings)
    for of_g in settings:
        names = shared_name(of_g)
        if names is not None and names[0] in found and found[names[0]] == found[of_g]:
            found = {(names[1] if key == of_g else key): value for key, value in found.items() if key != names[0]}
    return found


def recipe_names() -> list[str]:
    """The recipes that come with sngan."""
    return sorted(p.name.removesuffix(".toml") for p in _recipes().iterdir() if p.name.endswith(".toml"))


def recipe(name: str) -> Layer:
    """Read a recipe; raises `NotFoundError` where there is none of that name."""
    if name not in recipe_names():
        raise NotFoundError(no_such("recipe", name, recipe_names()))
    values = tomllib.loads((_recipes() / f"{name}.toml").read_text(encoding="utf-8"))
    return Layer(f"recipe {name}", {"recipe": name, **values})


def config_file(path: Path) -> Layer:
    """Read a TOML configuration; raises `NotFoundError` or `UsageError` where it cannot be read."""
    try:
        return Layer(str(path), tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        kind = NotFoundError if isinstance(error, FileNotFoundError) else UsageError
        raise kind(f"The configuration {path} cannot be read: {reason}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The configuration {path} is not valid TOML: {error}.") from error


def parse_set(assignments: Iterable[str]) -> Layer:
    """Parse `--set KEY=VALUE` of a run's settings; raises `UsageError` for one that there is not."""
    values = parse_assignments(assignments)
    layer = Layer("--set", values)
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in _COMPONENT_TABLES:
            raise UsageError(f"--set {key}.{next(iter(value))}: {key!r} is a plain setting, not a component.")
    return layer


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE`: keys are dotted, values TOML, and anything that is not TOML is taken as text."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UsageError(f"--set {assignment!r} is not KEY=VALUE, such as --set loss.margin=2.")
        table = values
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise _ambiguous(assignment, part)
        if isinstance(table.get(parts[-1]), dict):
            raise _ambiguous(assignment, parts[-1])
        table[parts[-1]] = _toml_value(text.strip())
    return values


def _ambiguous(assignment: str, part: str) -> UsageError:
    return UsageError(
        f"--set {assignment!r}: one --set gives {part!r} a value, another sets an option of it. Write the value as "
        f"--set {part}.name=..., or as --{part.replace('_', '-')}."
    )


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _recipes() -> Any:
    return files("sngan_cli.config") / "recipes"

"""Finds components by name among the installed distributions.

Names come from entry-point metadata alone; a component's module is imported when it is first loaded, so that one
broken plugin breaks nothing else.
"""

from __future__ import annotations

import inspect
import re
import tomllib
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sngan_cli import contracts
from sngan_cli.config.run_config import as_toml
from sngan_cli.contracts import CONTRACT, GROUPS, Component, ComponentError, UsageError
from sngan_cli.errors import NotFoundError, SnganError, did_you_mean, no_such
from sngan_cli.wording import complaint, first_line, refused, shortened

_BASES: dict[str, type[Component]] = {
    "dataset": contracts.Dataset,
    "architecture": contracts.Architecture,
    "loss": contracts.Loss,
    "normalization": contracts.Normalization,
    "metric": contracts.Metric,
    "extractor": contracts.Extractor,
}


def kind_of(component: Component) -> str:
    """Which kind a component is of, a key of `contracts.GROUPS`."""
    return next(kind for kind, base in _BASES.items() if isinstance(component, base))


@dataclass(frozen=True)
class Entry:
    """A component as its distribution's metadata announces it; `value` is `module:Class`."""

    kind: str
    name: str
    value: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Loaded:
    """A component's class and where it came from."""

    entry: Entry
    component: type[Component]


@contextmanager
def blaming(entry: Entry, what: str = "") -> Iterator[None]:
    """Context of work by one component: an error in it says whose it is, and in `what` of it.

    Errors that explain themselves, and those of the system, pass unchanged. A component that ends the program has
    failed, too.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if _is_explained(error):
            raise
        raise _failure([entry], error, what) from error


@contextmanager
def finding_fault(entries: Iterable[Entry]) -> Iterator[None]:
    """Context of work by several components: an error says, as `blaming` does, which third party's component it is of.

    That is the one whose code the error comes from. An error that comes from none of them passes unchanged.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if (fault := fault_of(error, entries)) is None:
            raise
        raise fault from error


def fault_of(error: BaseException, entries: Iterable[Entry]) -> ComponentError | None:
    """An error that says which of these third parties' components another error comes from; None where it is none."""
    found = [] if _is_explained(error) else _at_fault(error, {e for e in entries if e.distribution != "sngan"})
    return _failure(found, error) if found else None


def reason_of(error: BaseException, entries: Iterable[Entry]) -> str:
    """Why something has failed, in words, with the component that is at fault where that is a third party's."""
    error = fault_of(error, entries) or error
    if isinstance(error, SnganError):
        return str(error)
    return f"{type(error).__name__}: {first_line(error).rstrip('.')}. `sngan --debug` shows where."


def third_party(kind: str, name: str) -> str:
    """Name and version of the package that a component comes from, where it is not sngan's own."""
    found = (entry for entry in Catalog.installed().entries(kind) if entry.name == name)
    return ", ".join(f"{entry.distribution} {entry.version}" for entry in found if entry.distribution != "sngan")


def _is_explained(error: BaseException) -> bool:
    """Whether an error explains itself: one of ours, or of the system."""
    return isinstance(error, SnganError | MemoryError) or (isinstance(error, OSError) and bool(error.strerror))


def _at_fault(error: BaseException, entries: Collection[Entry]) -> list[Entry]:
    """Whose code the error comes from: the deepest frame that is any component's, and several may share its package."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__"))
        package = [e for e in entries if re.split("[.:]", e.value)[0] == module.partition(".")[0]]
        if package:
            of_module = [e for e in package if e.value.partition(":")[0] == module] or package
            owner = frame.f_code.co_qualname.partition(".")[0]
            return [e for e in of_module if e.value.partition(":")[2] == owner] or of_module
    return []


def _failure(entries: Sequence[Entry], error: BaseException, what: str = "") -> ComponentError:
    first = entries[0]
    who = f"the {first.kind} {first.name!r}" if len(entries) == 1 else "a component"
    who = f"{what} of {who}" if what else who
    said = ": ".join(filter(None, (type(error).__name__, first_line(error).rstrip("."))))
    return ComponentError(
        f"{who[0].upper()}{who[1:]} of {first.distribution} {first.version} failed: {said}. Tell its author what "
        "`sngan --debug` shows."
    )


class Catalog:
    """The components that are installed, by kind (a key of `contracts.GROUPS`) and name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = sorted(set(entries), key=lambda e: (list(GROUPS).index(e.kind), e.name, e.distribution))

    @classmethod
    @lru_cache(maxsize=1)
    def installed(cls) -> Catalog:
        """Read the metadata of every installed distribution."""
        return cls(
            Entry(kind, point.name, point.value, *_supplier(point))
            for kind, group in GROUPS.items()
            for point in entry_points(group=group)
        )

    def entries(self, kind: str | None = None) -> list[Entry]:
        """All announced components, or those of one kind; two of one name stand side by side."""
        return [entry for entry in self._entries if kind in (None, entry.kind)]

    def names(self, kind: str) -> list[str]:
        """The names of one kind, each once."""
        return list(dict.fromkeys(entry.name for entry in self.entries(kind)))

    def load(self, kind: str, name: str, *, others: Iterable[str] = ()) -> Loaded:
        """Import a component's class; `others` are names that an unknown one may have been meant for, too.

        Raises `NotFoundError` where the name is unknown or offered twice, and `ComponentError` where the plugin cannot
        be imported, is no component of this kind, or was written for another contract version.
        """
        entry = self._find(kind, name, others)
        which = f"The {kind} {name!r} of {entry.distribution} {entry.version}"
        if EntryPoint.pattern.match(entry.value) is None:
            raise ComponentError(f"{which} is registered as {entry.value!r}, no module:Class. Tell its author.")
        try:
            component = EntryPoint(name, entry.value, GROUPS[kind]).load()
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; it is reported, whatever it is
            why = next(iter(str(error).splitlines()), "")
            raise ComponentError(
                f"{which} cannot be imported from {entry.value}: {type(error).__name__}: {why.rstrip('.')}. Reinstall "
                "or remove that package, or tell its author."
            ) from error
        self._check(entry, component)
        return Loaded(entry, component)

    def options(self, kind: str, name: str) -> frozenset[str]:
        """The names of a component's options."""
        return frozenset(self.load(kind, name).component.model_fields)

    def make(self, kind: str, name: str, options: Mapping[str, Any], role: str | None = None) -> Component:
        """Build a component from options; raises `UsageError` naming the option that is unknown or has a wrong value.

        Raises `ComponentError` where it is the default that is wrong, or an option is not read back as it was. `role`
        is what the component's table is called in the configuration, such as `arch_g`; by default its kind.
        """
        loaded = self.load(kind, name)
        try:
            made = loaded.component(**options)
        except ValidationError as error:
            raise _refusal(error, loaded, role or kind, options) from error
        _check_recordable(made, loaded, role or kind, options)
        return made

    def _find(self, kind: str, name: str, others: Iterable[str]) -> Entry:
        found = [entry for entry in self.entries(kind) if entry.name == name]
        if len(found) > 1:
            owners = " and ".join(f"{e.distribution} {e.version}" for e in found)
            raise NotFoundError(
                f"The {kind} {name!r} is offered by {owners}: uninstall one, or ask an author to rename it."
            )
        if not found:
            if name in _declared_in_checkout(kind):
                raise NotFoundError(
                    f"The {kind} {name!r} is in pyproject.toml but not in the installed metadata: "
                    "reinstall with `pip install -e .` in the checkout."
                )
            raise NotFoundError(no_such(kind, name, [*self.names(kind), *others]))
        return found[0]

    def _check(self, entry: Entry, component: object) -> None:
        source = f"The {entry.kind} {entry.name!r} of {entry.distribution} {entry.version}"
        base = _BASES[entry.kind]
        if not (isinstance(component, type) and issubclass(component, base)):
            raise ComponentError(f"{source} ({entry.value}) is not a subclass of sngan_cli.contracts.{base.__name__}.")
        if component.contract is None:
            raise ComponentError(
                f"{source} names no contract version: declare `class {component.__name__}({base.__name__}, "
                f"contract={CONTRACT})`."
            )
        if component.contract != CONTRACT:
            remedy = (
                f"install a newer sngan that speaks {component.contract}"
                if component.contract > CONTRACT
                else f"install a newer {entry.distribution}"
            )
            raise ComponentError(
                f"{source} was written for contract version {component.contract}, and this sngan speaks {CONTRACT}: "
                f"{remedy}."
            )
        if "name" in component.model_fields:
            raise ComponentError(
                f"{source} has an option called 'name', which is what a configuration calls the component itself: its "
                f"author must rename the option of {component.__name__}."
            )
        if inspect.isabstract(component):
            missing = ", ".join(sorted(component.__abstractmethods__))
            raise ComponentError(f"{source} ({entry.value}) lacks {missing}: see sngan_cli.contracts.{base.__name__}.")


def _declared_in_checkout(kind: str) -> Iterable[str]:
    """Entry points in the pyproject.toml of a source checkout that sngan runs from; none where it is installed."""
    pyproject = Path(contracts.__file__).parents[1] / "pyproject.toml"
    if not pyproject.is_file():
        return ()
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):  # its owner is just editing it
        return ()
    return tuple(project.get("entry-points", {}).get(GROUPS[kind], {})) if project.get("name") == "sngan" else ()


def _refusal(error: ValidationError, loaded: Loaded, role: str, options: Mapping[str, Any]) -> SnganError:
    """What to raise where pydantic refuses an option: it is the author's own value where none was given."""
    entry, first = loaded.entry, error.errors()[0]
    if first["type"] == "missing" or not first["loc"] or first["loc"][0] in options:
        return UsageError(_explain(error, loaded.component, role, entry.name))
    said = f"{role}.{'.'.join(map(str, first['loc']))} = {refused(error)}"
    return _wrong_default(said, entry, f"{role}.{first['loc'][0]}")


def _wrong_default(said: str, entry: Entry, option: str) -> ComponentError:
    return ComponentError(
        f"{said} It is the default of {entry.name!r} in {entry.distribution} {entry.version}: give another with --set "
        f"{option}=VALUE, and tell its author."
    )


def _check_recordable(made: Component, loaded: Loaded, role: str, options: Mapping[str, Any]) -> None:
    """Raise where an option has a value that could not be written with a run, or is read back as another."""
    for name in type(made).model_fields:
        try:
            as_toml(made.model_dump(mode="json", include={name}))
        except Exception as error:  # whatever type its author gave it
            value = shortened(repr(getattr(made, name)))
            said = f"{role}.{name} = {value} cannot be recorded: TOML has no such value ({first_line(error)})."
            raise (
                UsageError(said) if name in options else _wrong_default(said, loaded.entry, f"{role}.{name}")
            ) from error
    if (amiss := not_read_back(made)) is not None:
        raise ComponentError(
            f"{role}.{amiss}. Tell the author of {loaded.entry.name!r} in {loaded.entry.distribution} "
            f"{loaded.entry.version}."
        )


def not_read_back(made: Component) -> str | None:
    """Which option is another once it is recorded and read back, and how; None where the same component is made."""
    for name, value in made.model_dump().items():
        if _has_set(value):
            return f"{name} = {shortened(repr(value))} is a set, whose order is another in each process: use a tuple"
    recorded = made.model_dump(mode="json", exclude_none=True)

    def said(name: str) -> str:
        return f"{name} is recorded as {shortened(repr(recorded[name])) if name in recorded else 'nothing'}"

    try:
        read = dict(type(made)(**tomllib.loads(as_toml(recorded))))
    except ValidationError as error:
        return f"{said(str(next(iter(error.errors()[0]['loc']), '')))}, and refused when read back: {complaint(error)}"
    changed = [name for name, value in made if read[name] != value]
    return f"{said(changed[0])}, and read back as {shortened(repr(read[changed[0]]))}" if changed else None


def _has_set(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, Set) or any(map(_has_set, parts))


def _explain(error: ValidationError, component: type[Component], role: str, name: str) -> str:
    first = error.errors()[0]
    key = shortened(".".join(str(part) for part in first["loc"]))
    if first["type"] == "extra_forbidden":
        if not component.model_fields:
            return f"{name!r} has no option {key!r}: it has no options ({role}.{key})."
        return f"{name!r} has no option {key!r} ({role}.{key}).{did_you_mean(key, component.model_fields)}"
    if first["type"] == "missing":
        return f"{name!r} needs the option {key!r}: give it with --set {role}.{key}=VALUE."
    setting = f"{role}.{key}" if key else name
    return f"{setting} = {refused(error)}"


def _supplier(point: EntryPoint) -> tuple[str, str]:
    """Name and version of an entry point's distribution, whose METADATA may be gone."""
    found = None if point.dist is None else point.dist.metadata  # the file is read each time it is asked for
    name, version = (found[key] if found is not None and key in found else "unknown" for key in ("Name", "Version"))
    return name, version

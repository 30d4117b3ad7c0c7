"""`sngan plugins`: the components that are installed."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sngan_cli import console, paths
from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import AsJson, DataDir, path_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_cli.catalog import Catalog, Entry, Loaded
    from sngan_cli.contracts import Component

app = typer.Typer(help=COMMANDS["plugins"], no_args_is_help=True, add_completion=False)

_KIND = typer.Option("--kind", metavar="KIND", help="dataset, architecture, loss, normalization, metric or extractor.")
Kind = Annotated[str | None, _KIND]
OUTCOMES = {"kept": "green", "broken": "red", "unchecked": "yellow"}


@app.command("list")
def list_plugins(kind: Kind = None, as_json: AsJson = False) -> None:
    """List every component, who supplies it, and what is wrong with those that cannot be used."""
    from sngan_cli.catalog import Catalog

    catalog = Catalog.installed()
    entries = catalog.entries(_checked(kind))
    rows = [{**vars(entry), "problem": _problem(catalog, entry)} for entry in entries]
    if as_json:
        console.print_json(rows)
        return
    cells = [
        (row["kind"], row["name"], f"{row['distribution']} {row['version']}", row["problem"] or _summary(catalog, row))
        for row in rows
    ]
    problems = {row["problem"]: "red" for row in rows if row["problem"]}
    console.print_table(("kind", "name", "from", "description"), cells, styles=problems, whole={"kind", "name"})


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a component.")],
    kind: Kind = None,
    as_json: AsJson = False,
) -> None:
    """Show a component: what it is, where it comes from, and its options."""
    from sngan_cli.catalog import Catalog
    from sngan_cli.errors import NotFoundError, no_such

    catalog = Catalog.installed()
    entries = catalog.entries(_checked(kind))
    kinds = dict.fromkeys(entry.kind for entry in entries if entry.name == name)
    if not kinds:
        raise NotFoundError(no_such("component", name, [entry.name for entry in entries]))
    shown = [_description(catalog.load(k, name)) for k in kinds]
    if as_json:
        console.print_json(shown[0] if len(shown) == 1 else shown)
        return
    for description in shown:
        _print(description)


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a component, or of a package of some.")],
    kind: Kind = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set an option of the component.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check that a component keeps the promises of its contract, beyond types; exit code 1 where it breaks one."""
    import tempfile

    from sngan_cli.bars import progress
    from sngan_cli.catalog import Catalog
    from sngan_cli.composition import data_root
    from sngan_cli.config import parse_assignments
    from sngan_cli.conformance import check as try_
    from sngan_cli.conformance import promises_of
    from sngan_cli.contracts import Dataset
    from sngan_cli.errors import ComponentError, UsageError
    from sngan_cli.wording import counted

    catalog = Catalog.installed()
    entries = _named(catalog, name, _checked(kind))
    options = parse_assignments(set_ or ())
    if options and len(entries) > 1:
        raise UsageError(f"--set sets options of one component, and {name!r} is {len(entries)}: name one, with --kind.")
    if isinstance(options.get(entries[0].kind), dict):  # given as in other commands: loss.margin=2
        options |= options.pop(entries[0].kind)
    made, rows = _made(catalog, entries, options)
    for entry, component in made:  # a folder that is not there is no fault of the component
        if isinstance(component, Dataset) and component.needs_data_dir:
            data_root(component, entry.name, data_dir)
    total = len(rows) + sum(len(promises_of(component)) for _, component in made)
    with tempfile.TemporaryDirectory() as scratch, progress("checking promises") as report:
        for entry, component in made:
            for found in try_(component, Path(scratch), data_dir, cache=paths.cache_folder()):
                rows.append({"kind": entry.kind, "name": entry.name, **vars(found)})
                report(len(rows), total)
    if as_json:
        console.print_json(rows)
    else:
        cells = [[str(value) for value in row.values()] for row in rows]
        console.print_table(list(rows[0]), cells, styles=OUTCOMES, whole={"kind", "name", "outcome"})
    broken, unchecked = (sum(row["outcome"] == outcome for row in rows) for outcome in ("broken", "unchecked"))
    if unchecked:
        console.note(f"{unchecked} of {counted(total, 'promise')} of {name!r} could not be checked here: see above.")
    if broken:
        raise ComponentError(f"{broken} of {counted(total, 'promise')} of {name!r} are broken: see above.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the component, such as least-squares.")],
    kind: Annotated[str, _KIND],
    into: Annotated[
        Path | None, path_option(help="Folder to write the package's own into (default: the current one).")
    ] = None,
) -> None:
    """Write a package to begin a plugin with: a component that works, its test, and what registers it.

    Prints the package's folder.
    """
    from sngan_cli.catalog import Catalog
    from sngan_cli.errors import UsageError
    from sngan_cli.scaffold import write

    checked = _checked(kind) or kind
    for entry in Catalog.installed().entries(checked):
        if entry.name == name:
            raise UsageError(
                f"The {kind} {name!r} is there already, from {entry.distribution} {entry.version}: give another name."
            )
    folder = write(checked, name, into or Path())
    typer.echo(str(folder))
    console.note(f"Next: pip install -e {shlex.quote(str(folder))} && sngan plugins check {name} --kind {kind}")


def _named(catalog: Catalog, name: str, kind: str | None) -> list[Entry]:
    """The components of this name, or all that a package of this name supplies."""
    from sngan_cli.errors import NotFoundError, no_such

    entries = catalog.entries(kind)
    found = [entry for entry in entries if entry.name == name]
    found = found or [entry for entry in entries if _normalised(entry.distribution) == _normalised(name)]
    if not found:
        known = [word for entry in entries for word in (entry.name, entry.distribution)]
        raise NotFoundError(no_such(f"{kind or 'component'} or package", name, known))
    return found


def _made(
    catalog: Catalog, entries: Sequence[Entry], options: Mapping[str, Any]
) -> tuple[list[tuple[Entry, Component]], list[dict[str, Any]]]:
    """Components, and rows that say why others of several cannot be made; for one alone that is raised."""
    from sngan_cli.catalog import reason_of
    from sngan_cli.conformance import Outcome
    from sngan_cli.errors import UsageError

    made, rows = [], []
    for entry in entries:
        try:
            made.append((entry, catalog.make(entry.kind, entry.name, options)))
        except (Exception, SystemExit) as error:  # third parties' components fail in any way
            if len(entries) == 1:
                raise
            # One that needs an option may keep its promises once it is given.
            outcome: Literal["unchecked", "broken"] = "unchecked" if isinstance(error, UsageError) else "broken"
            found = Outcome("it is made", outcome, reason_of(error, [entry]))
            rows.append({"kind": entry.kind, "name": entry.name, **vars(found)})
    return made, rows


def _normalised(distribution: str) -> str:
    """A distribution's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _checked(kind: str | None) -> str | None:
    from sngan_cli.contracts import GROUPS
    from sngan_cli.errors import UsageError, no_such

    if kind is not None and kind not in GROUPS:
        raise UsageError(no_such("kind of component", kind, GROUPS))
    return kind


def _problem(catalog: Catalog, entry: Entry) -> str | None:
    from sngan_cli.errors import SnganError

    try:
        catalog.load(entry.kind, entry.name)
    except SnganError as error:
        return str(error)
    return None


def _summary(catalog: Catalog, row: dict[str, Any]) -> str:
    return (inspect.getdoc(catalog.load(row["kind"], row["name"]).component) or "").split("\n")[0]


def _description(loaded: Loaded) -> dict[str, Any]:
    """Everything there is to know of a component."""
    component = loaded.component
    options = _schema(component).get("properties", {})
    sides = {
        key: list(getattr(component, key))
        for key in ("generator_sides", "discriminator_sides")
        if getattr(component, key, None)
    }
    return {
        **vars(loaded.entry),
        "description": inspect.getdoc(component) or "",
        "options": [
            {
                "name": name,
                "type": _type(options[name]),
                "default": None if field.is_required() else _plain(field.get_default(call_default_factory=True)),
                "required": field.is_required(),
                "description": field.description or "",
            }
            for name, field in component.model_fields.items()
        ],
        **sides,
    }


def _schema(component: type[Component]) -> dict[str, Any]:
    """JSON schema of a component's options; what has none, such as a function, may be anything."""
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 (as in pydantic)

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

    return component.model_json_schema(by_alias=False, schema_generator=Lenient)


def _plain(default: object) -> Any:
    """A default in a form that JSON has, too."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(default, fallback=str)


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(part) for part in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    return str({"null": "none"}.get(schema.get("type", ""), schema.get("format", schema.get("type", "any"))))


def _print(description: dict[str, Any]) -> None:
    from rich.text import Text

    out = console.stdout()
    out.print(Text(f"{description['kind']} {description['name']}", style="bold"))
    out.print(Text(f"from {description['distribution']} {description['version']}, {description['value']}", style="dim"))
    for paragraph in description["description"].split("\n\n"):
        out.print(Text("\n" + " ".join(paragraph.split())))
    out.print()
    for key in ("generator_sides", "discriminator_sides"):
        if key in description:
            out.print(Text(f"{key.replace('_', ' ')}: {', '.join(map(str, description[key]))}\n"))
    if not description["options"]:
        out.print(Text("no options"))
        return
    rows = [
        (o["name"], o["type"], "required" if o["required"] else str(o["default"]), o["description"])
        for o in description["options"]
    ]
    console.print_table(("option", "type", "default", "meaning"), rows, whole={"option"})

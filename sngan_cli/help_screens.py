"""How the help of commands looks: plain text in sections, every word of it there at any width."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_NO_BRACKETS = str.maketrans("", "", "{}<>")


class Command(TyperCommand):
    """A command whose arguments and options are said in words of the user, and not in types of the program."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The parts of the usage line."""
        return [piece.translate(_NO_BRACKETS) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write arguments, then options by their panels."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if param.param_type_name == "argument":
                section, name = "Arguments", f"{param.metavar}{'...' if param.nargs == -1 else ''}"
            else:
                section = getattr(param, "rich_help_panel", None) or "Options"
            sections.setdefault(section, []).append((name.translate(_NO_BRACKETS), text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


class Group(TyperGroup):
    """Commands, each with the whole of its first paragraph."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, (one.help or "").split("\n")[0]) for name, one in self.commands.items()])


def built(app: typer.Typer) -> Any:
    """The command, or the group of some, that an app of typer's describes, with this help."""
    app.rich_markup_mode = None
    app.info.cls = Group
    for one in app.registered_commands:
        one.cls = Command
    return _in_paragraphs(typer.main.get_command(app))


def _in_paragraphs(command: Any) -> Any:
    """A command, each paragraph of its help a line, as the terminal is to break it and not the source."""
    command.help = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    for each in getattr(command, "commands", {}).values():
        _in_paragraphs(each)
    return command

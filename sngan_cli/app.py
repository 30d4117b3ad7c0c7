"""The `sngan` program: its commands, and how it ends.

Nothing here, nor at the top of a command's module, may import torch, pydantic, SQLAlchemy or a plugin: `--help` is
quick.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import redirect_stderr
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from sngan_cli.commands import COMMANDS
from sngan_cli.commands.options import given
from sngan_cli.console import Messages, silence
from sngan_cli.help_screens import built
from sngan_cli.stopping import StopAtOnceError, handle_signals, stop_at_once
from sngan_cli.waiting import sleep_soon
from sngan_cli.wording import printable

if TYPE_CHECKING:
    from sngan_cli.errors import SnganError


class Program(TyperGroup):
    """All commands. Only the one that is called is imported: reading the options of all would take time.

    An error in the value of an option names the value, in plain words.
    """

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names, to list and to propose

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """A command by its name, or None."""
        if cmd_name not in COMMANDS:
            return None
        return built(import_module(f"sngan_cli.commands.{cmd_name}").app)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """List the commands in the program's help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            _put_plainly(error)
            raise


def _put_plainly(error: typer.BadParameter) -> None:
    """Say of what typer leaves to pydantic what is wrong with it, as other errors do."""
    from pydantic import ValidationError

    from sngan_cli.wording import complaint

    if isinstance(cause := error.__cause__, ValidationError):
        value, said = repr(cause.errors()[0]["input"]), complaint(cause)
        error.message = f"{said}." if value in said else f"{value}: {said}."


app = typer.Typer(
    name="sngan",
    cls=Program,
    help="Train spectral-normalisation GANs, score what they draw, and keep a record of every run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its frames break the lines of errors
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sngan {version('sngan')}")
        raise typer.Exit


@app.callback()
def options(
    registry_place: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="URL",
            parser=given,
            help="Registry: a file or SQLAlchemy URL (default: $SNGAN_REGISTRY).",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that go before the command."""
    if registry_place is not None:
        os.environ["SNGAN_REGISTRY"] = registry_place
    if debug:
        os.environ["SNGAN_DEBUG"] = "1"


def main() -> NoReturn:
    """Run the program; what goes wrong is said in a line or two, and in the exit code."""
    sleep_soon()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell has closed it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and "utf" not in stream.encoding.lower():
            stream.reconfigure(errors="replace")  # an arrow that a terminal lacks is no reason to end
    handle_signals(stop_at_once)
    with redirect_stderr(Messages(sys.stderr)):
        _run()


def _run() -> NoReturn:
    try:
        try:
            # Not standalone, since typer would say what is wrong in lines of its own.
            raise SystemExit(app(prog_name="sngan", standalone_mode=False))
        finally:
            sys.stdout.flush()  # a reader that has left is met here, not in the interpreter's exit
    except BaseException as error:
        handle_signals(signal.SIG_IGN)  # how the program ends is decided, and what it clears away takes seconds
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """Say what has ended the program, and exit with its code."""
    match error:
        case StopAtOnceError():
            _fail(str(error), error.exit_code)
        case BrokenPipeError():
            silence(sys.stdout)  # the exit's flush must not fail
            raise SystemExit(1) from None
        case SystemExit() if (fault := _fault(error)) is not None:
            _fail(f"error: {fault}", fault.exit_code)
        case Exception():
            _fail(*_explain(error))
    raise error


def _fault(error: BaseException) -> SnganError | None:
    """An error that says which third party's component another error comes from; None where it is none."""
    if "sngan_cli.catalog" not in sys.modules:  # none has been imported
        return None
    from sngan_cli.catalog import Catalog, fault_of

    return fault_of(error, Catalog.installed().entries())


def _explain(error: Exception) -> tuple[str, int]:
    from sngan_cli.errors import SnganError
    from sngan_registry.errors import (
        AmbiguousRunError,
        NoRunsError,
        QueryError,
        RegistryError,
        RunBusyError,
        RunChangedError,
        RunNotFoundError,
        RunTakenError,
    )

    if isinstance(error, SnganError):
        return f"error: {error}", error.exit_code
    if hasattr(error, "format_message"):  # typer's, whose base class is not public in all versions
        return _misread(error)
    if isinstance(error, RegistryError):
        others = dict.fromkeys((RunBusyError, RunChangedError, RunTakenError), 1)
        codes = {**others, QueryError: 2, RunNotFoundError: 3, AmbiguousRunError: 3}
        hint = _way_to_runs() if isinstance(error, NoRunsError) else ""
        code = next((code for kind, code in codes.items() if isinstance(error, kind)), 4)
        return f"error: {error} {hint}".rstrip(), code
    if isinstance(error, OSError) and error.strerror:
        return f"error: {error.strerror}" + (f": {error.filename}" if error.filename else ""), 1
    if (fault := _fault(error)) is not None:
        return f"error: {fault}", fault.exit_code
    kind = type(error).__name__
    return f"internal error: {kind}: {error}\nPlease report it with the output of `sngan --debug ...`.", 1


def _way_to_runs() -> str:
    from sngan_cli.paths import runs_folder
    from sngan_cli.run_folder import to_take_in

    return to_take_in(runs_folder())


def _misread(error: Any) -> tuple[str, int]:
    """What is wrong with a command line, and which option may be meant; the help of a group without a command."""
    from sngan_cli.errors import nearest

    said: str = error.format_message()
    if said.startswith("Usage: "):
        return said, error.exit_code
    if hasattr(error, "possibilities"):
        known = [name for param in error.ctx.command.get_params(error.ctx) for name in param.opts]
        said = f"There is no option {error.option_name!r}.{nearest(error.option_name, known, 0.7)}"
    if error.ctx is not None and not said.startswith("Invalid value") and "Did you mean" not in said:
        said = f"{said.rstrip('.')}. See `{error.ctx.command_path} --help`."
    return f"error: {said}", error.exit_code


def _fail(message: str, code: int) -> NoReturn:
    if os.environ.get("SNGAN_DEBUG"):
        traceback.print_exc()
    sys.stderr.write(printable(message, but="\n\t") + "\n")
    raise SystemExit(code)

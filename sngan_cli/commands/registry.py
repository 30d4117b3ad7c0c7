"""`sngan registry`: where runs are recorded."""

from __future__ import annotations

import typer

from sngan_cli import paths

app = typer.Typer(help="Where runs are recorded.", no_args_is_help=True)


@app.callback()
def registry() -> None:
    """Where runs are recorded."""


@app.command()
def path() -> None:
    """Print the registry's file or URL (a password in it is hidden)."""
    typer.echo(paths.registry_name())

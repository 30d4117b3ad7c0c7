"""What a command imports: `--help` and `runs list` answer at once because they leave the heavy libraries alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.commands import COMMANDS
from sngan_registry import Environment, NewRun, Status, Store

PROBE = """
import json, sys
sys.argv = ["sngan", *sys.argv[1:]]
from sngan_cli.app import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""


def imported(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def new_run() -> NewRun:
    environment = Environment(
        sngan="0", python="3", torch="2", cuda=None, device="cpu", host="elsewhere", pid=1, git_commit=None, command="c"
    )
    return NewRun(config={"dataset": {"name": "shapes"}}, components=(), environment=environment, seed=0, steps=1)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"torch", "rich", "numpy", "PIL", "pydantic", "sqlalchemy", "alembic", "sngan_plugins"}),
        (["train", "--help"], {"torch", "rich", "numpy", "PIL", "sqlalchemy", "alembic", "sngan_plugins"}),
        (["runs", "doctor", "--help"], {"torch", "rich", "numpy", "PIL", "sqlalchemy", "alembic", "sngan_plugins"}),
        (["registry", "path"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins"}),
        (["registry", "check"], {"torch", "PIL", "alembic", "sngan_plugins"}),
        (["registry", "rebuild"], {"torch", "PIL", "alembic", "sngan_plugins"}),
        (["runs", "list"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "show", "one"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "compare", "one", "other"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["scores", "list"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["extractors", "list"], {"torch", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "watch", "ended"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins"}),
        (["runs", "rm", "one", "--yes"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "gc", "--dry-run"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "tag", "one", "--add", "t"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
        (["runs", "list", "--json"], {"torch", "numpy", "PIL", "alembic", "sngan_plugins", "rich.table"}),
    ],
)
def test_heavy_libraries_stay_away(home: Path, arguments: list[str], unwanted: set[str]) -> None:
    with Store.open(home / "registry.db") as store:
        for name in ("one", "other"):
            store.create_run(replace(new_run(), name=name))
        store.close(store.create_run(replace(new_run(), name="ended")).id, Status.FINISHED, step=1)
    found = imported(*arguments)
    assert "sngan_cli.app" in found
    assert not found & unwanted


def test_one_command_is_imported_and_no_other(home: Path) -> None:
    commands = {f"sngan_cli.commands.{name}" for name in COMMANDS}
    assert not imported("--help") & commands
    assert imported("runs", "list") & commands == {"sngan_cli.commands.runs"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_programs_help_says_of_a_command_what_its_own_help_begins_with(sngan: Any, name: str) -> None:
    assert COMMANDS[name] in " ".join(sngan("--help").out.split())
    assert COMMANDS[name] in " ".join(sngan(name, "--help").out.split())


def test_the_probe_sees_what_is_imported() -> None:
    assert "torch" in imported("plugins", "list")


@pytest.mark.parametrize(("loaded", "frozen"), [("nothing", True), ("torch", False)])
def test_what_was_imported_is_looked_through_at_the_end_only_where_torch_is(loaded: str, frozen: bool) -> None:
    script = f"""
import gc, sys, types
sys.modules[{loaded!r}] = types.ModuleType({loaded!r})
sys.argv = ["sngan", "--version"]
gc.freeze = lambda: print("frozen")
from sngan_cli.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ("frozen" in done.stdout.splitlines()) == frozen

"""Where a run or an extractor is made, by which command, and who supplied its components."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from sngan_cli.catalog import Entry
from sngan_cli.config import RunConfig
from sngan_registry import Component, Environment
from sngan_registry.database import label, registry_url


def environment(device: str, torch_version: str, cuda: str | None) -> Environment:
    """Describe where the run is made, and by which command."""
    return Environment(
        sngan=version("sngan"),
        python=platform.python_version(),
        torch=torch_version,
        cuda=cuda,
        device=device,
        host=socket.gethostname(),
        pid=os.getpid(),
        git_commit=_git_commit(),
        command=shlex.join(["sngan", *_without_passwords(sys.argv[1:])]),
    )


def before(then: Environment, now: Environment) -> str:
    """Say by which command a run was trained until now, and on what, where that was something else."""
    on = {
        "host": (then.host, now.host),
        "device": (then.device, now.device),
        "torch": (then.torch, now.torch),
        "sngan": (then.sngan, now.sngan),
        "git": (then.git_commit, now.git_commit),
    }
    other = ", ".join(f"{key} {old or 'none'}" for key, (old, new) in on.items() if old != new)
    return f"Before{other and f' ({other})'}: {then.command}"


def components(config: RunConfig, entries: Mapping[str, Entry]) -> tuple[Component, ...]:
    """Say of every component of a configuration who supplied it, in which version, with which options."""
    tables = config.to_dict()
    return tuple(
        Component(
            role=role,
            name=entry.name,
            distribution=entry.distribution,
            version=entry.version,
            options=(
                tables["metrics"][entry.name]
                if role.startswith("metrics.")
                else {key: value for key, value in tables[role].items() if key != "name"}
            ),
        )
        for role, entry in entries.items()
    )


def _without_passwords(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments of a command, a registry's URL as messages show it."""
    before = ""
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if before == "--registry":
            yield label(registry_url(argument))
        elif flag == "--registry" and equals:
            yield f"{flag}={label(registry_url(value))}"
        else:
            yield argument
        before = argument


def _git_commit() -> str | None:
    """Commit of the git checkout that the command was given in, if it was given in one."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None

"""Everything that is known of one run, on a screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sngan_cli import console, paths
from sngan_cli.run_table import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sngan_registry import Run


def print_run(run: Run, everything: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print a run; `everything` holds its components, scores, checkpoints, artifacts, events and scalars."""
    environment = run.environment
    _section(
        f"run {run.id}",
        [
            ("name", run.name),
            ("status", run.status.value + (f": {run.reason}" if run.reason else "")),
            ("step", f"{run.step} of {run.steps}"),
            ("parent", run.parent),
            ("tags", ", ".join(run.tags)),
            ("note", run.note),
            ("created", _time(run.created)),
            ("started", _time(run.started)),
            ("ended", _time(run.ended)),
            ("command", environment.command),
            ("host", f"{environment.host}, {environment.device}"),
            ("versions", f"sngan {environment.sngan}, torch {environment.torch}, python {environment.python}"
                         + (f", CUDA {environment.cuda}" if environment.cuda else "")),
            ("git", environment.git_commit),
            ("folder", str(paths.runs_folder() / run.id)),
        ],
    )  # fmt: skip
    plain = {key: value for key, value in run.config.items() if not isinstance(value, dict)}
    _section("settings", [(key, text_of(value)) for key, value in plain.items()])
    _section(
        "components",
        [
            (c["role"], f"{c['name']}  ({c['distribution']} {c['version']})  {_options(c['options'])}".rstrip())
            for c in everything["components"]
        ],
    )
    for score in everything["scores"]:
        deviation = "" if score["std"] is None else f" ± {score['std']:.4f}"
        rows = [("value", f"{score['value']:.4f}{deviation}"), ("protocol", score["protocol"])]
        _section(f"score {score['metric']} at step {score['step']}", [*rows, *_pairs(score["evidence"])])
    _section("losses", _last_scalars(everything["scalars"]))
    _section(
        "checkpoints",
        [
            (f"step {c['step']}", f"deleted {_time(c['deleted'])}" if c["deleted"] else
             f"{c['path']}  {c['size'] / 2**20:.1f} MiB  sha256 {c['sha256'][:12]}")
            for c in everything["checkpoints"]
        ],
    )  # fmt: skip
    _section("artifacts", [(a["kind"], a["path"]) for a in everything["artifacts"]])
    _section(
        "events",
        [(_time(e["created"]), (f"step {e['step']}: " if e["step"] is not None else "") + e["message"])
         for e in everything["events"]],
    )  # fmt: skip


def _section(title: str, rows: Sequence[tuple[str | None, str | None]]) -> None:
    rows = [(key, value) for key, value in rows if value]
    if not rows:
        return
    if not sys.stdout.isatty():
        width = max(12, *(len(key or "") + 2 for key, _ in rows))
        sys.stdout.write(f"{title}\n")
        sys.stdout.writelines(f"  {key}".ljust(width + 2) + f"{value}\n" for key, value in rows)
        sys.stdout.write("\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(f"  {key}", style="dim"), Text(value or ""))
    out = console.stdout()
    out.print(Text(title, style="bold"))
    out.print(table)
    out.print()


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _evidence(value)) for key, value in values.items()]


def _evidence(value: Any) -> str:
    """A value, or one for each class."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner:.3f}" for name, inner in value.items())
    return f"{value:.6g}" if isinstance(value, float) else text_of(value)


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={text_of(value)}" for key, value in options.items() if value is not None)


def _last_scalars(scalars: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    last = {scalar["name"]: scalar for scalar in scalars}
    return [(name, f"{scalar['value']:.4f} at step {scalar['step']}") for name, scalar in last.items()]


def _time(moment: Any) -> str | None:
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

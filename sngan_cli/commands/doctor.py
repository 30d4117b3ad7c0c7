"""`sngan runs doctor`: what is wrong with runs, in plain words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sngan_cli import console, paths
from sngan_cli.commands.options import RunIds
from sngan_cli.run_table import called

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sngan_cli.diagnosis import Finding, History
    from sngan_registry import Run, Store


def doctor(
    run_ids: RunIds,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings and their figures as JSON.")] = False,
) -> None:
    """Say what is wrong with runs, and what to do: a beaten D, one that has won, collapse, falling scores, divergence.

    It reads the losses, scores and checkpoints that were recorded, and changes nothing.
    """
    from sngan_cli.diagnosis import diagnose, not_looked_for

    with paths.open_store(create=False) as store:
        histories = [_history(store, run) for run in store.get_each(run_ids)]
    if as_json:
        console.print_json([
            {"id": h.run.id, "name": h.run.name, "findings": diagnose(h), "not_looked_for": not_looked_for(h)}
            for h in histories
        ])  # fmt: skip
        return
    for k, history in enumerate(histories):
        if k:
            typer.echo()
        _print(history.run, history.step, diagnose(history), not_looked_for(history))


def _history(store: Store, run: Run) -> History:
    from sngan_cli.comparison import best_step
    from sngan_cli.diagnosis import History
    from sngan_cli.run_checkpoints import checkpoints_of

    scores, checkpoints = store.scores(run.id), checkpoints_of(store, run, paths.runs_folder())
    present = {checkpoint.step for checkpoint in checkpoints if checkpoint.deleted is None}
    best = best_step(run, scores, present)
    return History(run, store.scalars(run.id), scores, checkpoints, _blind(run.config.get("loss")), best)


def _blind(recorded: Any) -> float | None:
    """D's loss where it tells nothing apart; None where the run's loss is not installed here or cannot be built."""
    from typing import cast

    from sngan_cli.catalog import Catalog
    from sngan_cli.contracts import Loss
    from sngan_cli.engine.step import blind_loss
    from sngan_cli.errors import SnganError

    try:
        options = dict(recorded)
        loss = Catalog.installed().make("loss", options.pop("name"), options)
        return blind_loss(cast("Loss", loss))
    except (SnganError, TypeError, ValueError, KeyError):
        return None


_STYLES = {"healthy": "bold green", "untold": "bold yellow"}


def _print(run: Run, step: int, findings: Sequence[Finding], notes: Sequence[str]) -> None:
    """Print a heading, and a paragraph for each finding; on a terminal they are coloured, and wrapped to its width."""
    heading = f"run {called(run)}: {run.status.value}, step {step} of {run.steps}"
    if not sys.stdout.isatty():
        lines = [heading]
        for finding in findings:
            lines += ["", f"{finding.kind}: {finding.message}", *([finding.remedy] if finding.remedy else [])]
        lines += ["", *notes] if notes else []
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    from rich.text import Text

    out = console.stdout()
    out.print(Text(heading, style="bold"))
    for finding in findings:
        style = "bold yellow" if finding.is_over else _STYLES.get(finding.kind, "bold red")
        out.print()
        out.print(Text.assemble((finding.kind, style), ": ", finding.message))
        if finding.remedy:
            out.print(Text(finding.remedy, style="cyan"))
    if notes:
        out.print()
        for note in notes:
            out.print(Text(note, style="dim"))

"""Runs beside one another, on a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sngan_cli import console
from sngan_cli.comparison import (
    Compared,
    Measured,
    differing_classes,
    differing_settings,
    differing_versions,
)
from sngan_cli.proposals import Proposal, proposals_by_standard, proposals_to_measure, proposals_to_share
from sngan_cli.run_table import STYLES, called, fitting, protocol_in_words, text_of, value_in_words
from sngan_registry import Score

_CLASSES = 10
"""Classes that are shown of a score at most."""
_NAME = 20
"""Letters of a run's name that a line for each run has room for at least."""
_LEADS = "▸ "


def print_comparison(compared: Sequence[Compared], metrics: Mapping[str, Sequence[Measured]]) -> None:
    """Print what differs between runs, and what was measured by these metrics: a table for each protocol of each."""
    runs = [each.run for each in compared]
    status = ["status", *(run.status.value for run in runs)]
    step = ["step", *(f"{run.step}" if run.step == run.steps else f"{run.step}/{run.steps}" for run in runs)]
    print_differences(compared, status, step)
    for each in compared:
        if each.run.reason:
            console.say(f"{called(each.run)} {each.run.status.value}: {each.run.reason}")
        if not each.checkpoints:
            console.say(f"{called(each.run)} has no checkpoint that could be measured.")
    if not metrics:
        console.say("\nNone of these runs has a score.")
        _say_proposals(
            "To measure them by one protocol:",
            proposals_by_standard(compared),
            "They cannot all be measured by one protocol:",
        )
    for metric, found in metrics.items():
        proposed = [proposals_to_measure(block, compared) for block in found]
        for block, proposals in zip(found, proposed, strict=True):
            _print_scores(block, compared, proposals or ())
        if all(block.missing for block in found) and not any(proposals is not None for proposals in proposed):
            _say_proposals(
                f"To measure {metric} of all by one protocol:",
                proposals_by_standard(compared, [metric]),
                f"{metric} of all cannot be measured by one protocol:",
            )
    if any(len(block.runs) > 1 for found in metrics.values() for block in found):
        console.say(f"\n{_LEADS}the best of these runs by that protocol")


def no_common_protocol(compared: Sequence[Compared], metric: str, found: Sequence[Measured]) -> str:
    """Say that runs share no protocol for a metric, which ones each has, and how to get a common one."""
    lines = [f"These runs share no protocol for {metric!r}, and values of different ones cannot be compared."]
    for each in compared:
        own = [block for block in found if each.run.id in block.runs]
        unmeasured = "not measured" if each.checkpoints else "not measured, and without a checkpoint that could be"
        said = "; ".join(protocol_in_words(block.protocol, block.scores) for block in own) or unmeasured
        lines.append(f"  {called(each.run)}: {said}")
    commands, refusals = _proposed(proposals_to_share(compared, found, metric))
    heading = ["To measure by one:"] if commands else []
    return "\n".join([*lines, *heading, *(f"  {command}" for command in commands), *refusals])


def print_differences(compared: Sequence[Compared], *more: list[str]) -> None:
    """Print the settings, options and versions in which runs differ, below `more` rows on each."""
    runs = [each.run for each in compared]
    rows = [["name", *(run.name or "" for run in runs)], *more]
    differing = [*differing_settings(runs).items(), *differing_versions(compared).items()]
    rows += [[key, *(text_of(values.get(run.id)) for run in runs)] for key, values in differing]
    heads = ["run", *(run.id for run in runs)]
    if len(fitting(zip(heads, *rows, strict=True), lead=-1)) == 1:
        console.print_table(heads, rows, styles=STYLES)
    else:
        _print_run_by_run(heads[1:], rows)
    if not differing:
        console.say("They differ in no setting.")


def _print_run_by_run(ids: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a line for each run instead of a column, in as many tables as it takes for lines to fit."""
    (_, *names), *columns = rows
    lead = max(map(len, ids)) + 1 + min(_NAME, max(map(len, ("name", *names))))
    for k, group in enumerate(fitting(columns, lead)):
        keys = [key for key, *_ in group]
        lines = list(zip(ids, names, *(values for _, *values in group), strict=True))
        if k:
            console.say("")
        whole = {"run", *(keys if len(keys) > 1 else ())}  # one that is too long by itself folds
        console.print_table(("run", "name", *keys), lines, styles=STYLES, whole=whole, cut={"name"})


def _print_scores(block: Measured, compared: Sequence[Compared], proposals: Sequence[Proposal]) -> None:
    names = {each.run.id: each.run.name or "" for each in compared}
    better = "greater" if block.scores[0].higher_is_better else "less"
    console.say(f"\n{block.metric} by {protocol_in_words(block.protocol, block.scores)}, {better} is better", "bold")
    both = any(entry.best is not entry.last for entry in block.entries)
    rows = [
        [entry.run_id, names[entry.run_id], entry.weights, *_cells(block, entry.best, last=False),
         *(_cells(block, entry.last, last=True) if both else [])]
        for entry in block.entries
    ]  # fmt: skip
    columns = ("run", "name", "weights", *(("best", "at step", "last", "at step") if both else ("value", "at step")))
    numbers = set(columns[3:])
    console.print_table(columns, rows, right=numbers, whole={*numbers, "run", "weights"}, cut={"name"})
    for remark in dict.fromkeys(str(s.evidence["remark"]) for s in block.scores if s.evidence.get("remark")):
        console.say(remark, "dim")
    if len(packages := dict.fromkeys(map(_packages, block.scores))) > 1:
        console.say(f"Measured by different packages, whose values may differ: {'; '.join(packages)}.")
    _print_classes(block)
    if block.missing:
        _print_missing(block, compared, proposals)


def _packages(score: Score) -> str:
    """Third parties' packages that a score was measured by."""
    found = dict.fromkeys(score.evidence.get(key) for key in ("metric_package", "extractor_package"))
    return ", ".join(str(package) for package in found if package) or "sngan's own"


def _print_missing(block: Measured, compared: Sequence[Compared], proposals: Sequence[Proposal]) -> None:
    if len(block.runs) == 1:
        console.say("Only this run was measured by this protocol: it compares with none of the others.")
    else:
        others = ", ".join(called(each.run) for each in compared if each.run.id in block.missing)
        console.say(f"Not measured by this protocol, so not comparable with these: {others}.")
    _say_proposals("To measure by it:", proposals)


def _print_classes(block: Measured) -> None:
    """Print the values of single classes in the best scores, as far as they differ most, and the steps of these."""
    classes, count = differing_classes(block, _CLASSES)
    if classes:
        several = len(block.runs) < len(block.entries)
        heads = [f"{entry.run_id} {entry.weights}" if several else entry.run_id for entry in block.entries]
        cells = [
            [head, str(score.step), *(f"{values[k]:.3f}" for values in classes.values())]
            for k, (head, score) in enumerate(zip(heads, block.scores, strict=True))
        ]
        keys = ("at step", *classes)
        for group in fitting(cells, lead=max(map(len, ("class", *keys)))):
            shown = [head for head, *_ in group]
            lines = list(zip(keys, *(values for _, *values in group), strict=True))
            console.print_table(("class", *shown), lines, right=shown, whole=shown)
        if count > len(classes):
            console.say(f"The {len(classes)} of {count} classes that differ most; --json has all.", "dim")


def _cells(block: Measured, score: Score, *, last: bool) -> list[str]:
    mark = _LEADS if block.leads(score, last=last) else ""
    return [f"{mark}{value_in_words(score)}", str(score.step)]


def _say_proposals(heading: str, proposals: Sequence[Proposal], otherwise: str | None = None) -> None:
    """Print commands under a heading, and refusals; where there are these alone, under another one if it is given."""
    commands, refusals = _proposed(proposals)
    if commands:
        console.say(heading)
    elif refusals and otherwise:
        console.say(otherwise)
    for command in commands:
        console.say(f"  {command}", "cyan", whole=True)
    for refusal in refusals:
        console.say(refusal)


def _proposed(proposals: Sequence[Proposal]) -> tuple[list[str], list[str]]:
    """Commands to give, and why there is none for other runs."""
    return (
        [proposal.command for proposal in proposals if proposal.refusal is None],
        [f"{called(p.run)} cannot be measured so: {p.refusal}." for p in proposals if p.refusal is not None],
    )

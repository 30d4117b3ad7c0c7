"""Everything that is known of one run, on a screen: what came of it first, then what that rests on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sngan_cli import console, paths
from sngan_cli.comparison import best_step, is_scored, metrics_of
from sngan_cli.errors import is_divergence
from sngan_cli.run_table import fitting, in_hours, in_local_time, protocol_in_words, text_of, value_in_words
from sngan_cli.wording import counted, steps_in_words
from sngan_registry import Status, best_of, duration_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sngan_registry import Artifact, Checkpoint, Component, Event, Run, Scalar, Score

    Series = dict[str, list[Score]]
    """Comparable scores by step, of one metric, protocol and kind of G's weights each, by what they are called."""


@dataclass(frozen=True)
class Recorded:
    """What the registry knows of a run beside itself."""

    components: Sequence[Component]
    scores: Sequence[Score]
    checkpoints: Sequence[Checkpoint]
    artifacts: Sequence[Artifact]
    events: Sequence[Event]
    scalars: Sequence[Scalar]

    @property
    def on_disk(self) -> list[Checkpoint]:
        """The checkpoints that were not deleted."""
        return [checkpoint for checkpoint in self.checkpoints if checkpoint.deleted is None]


def print_run(run: Run, recorded: Recorded) -> None:
    """Print a run: a summary, its scores and checkpoints, its settings, and what each score rests on."""
    series = _series(run, recorded.scores)
    print_section(f"run {run.id}", _summary(run, recorded))
    _print_best_and_last(series)
    print_section("losses", _last_scalars(recorded.scalars))
    print_section("checkpoints", _checkpoints(recorded))
    plain = {key: value for key, value in run.config.items() if not isinstance(value, dict)}
    print_section("settings", [(key, text_of(value)) for key, value in plain.items()])
    print_section(
        "components",
        [
            (c.role, f"{c.name}  ({c.distribution} {c.version})  {_options(c.options)}".rstrip())
            for c in recorded.components
        ],
    )
    _print_by_step(series)
    _print_evidence(series)
    print_section("artifacts", _artifacts(recorded.artifacts))
    print_section(
        "events",
        [
            (in_local_time(e.created), (f"step {e.step}: " if e.step is not None else "") + e.message)
            for e in recorded.events
        ],
    )


def print_section(title: str, rows: Sequence[tuple[str | None, str | None]]) -> None:
    """Print keys and values under a title, those without a value left out; nothing where none has one."""
    rows = [(key, value) for key, value in rows if value]
    if not rows:
        return
    if not sys.stdout.isatty():
        width = max(12, *(len(key or "") + 2 for key, _ in rows))
        sys.stdout.write(f"{title}\n")
        sys.stdout.writelines(f"  {key or ''}".ljust(width + 2) + f"{value}\n" for key, value in rows)
        sys.stdout.write("\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(f"  {key or ''}", style="dim"), Text(value or ""))
    out = console.stdout()
    out.print(Text(title, style="bold"))
    out.print(table)
    out.print()


def _summary(run: Run, recorded: Recorded) -> list[tuple[str, str | None]]:
    environment, folder = run.environment, paths.runs_folder() / run.id
    way, command = _way_on(run, recorded)
    return [
        ("name", run.name),
        ("status", run.status.value + (f": {reason}" if (reason := _reason(run)) else "")),
        (way, command),
        ("step", f"{run.step} of {run.steps}"),
        ("duration", _duration(run, recorded.events)),
        ("checkpoints", _best_and_last(run, recorded)),
        ("parent", run.parent),
        ("tags", ", ".join(run.tags)),
        ("note", run.note),
        ("created", in_local_time(run.created)),
        ("command", environment.command),
        ("host", f"{environment.host}, {environment.device}"),
        ("versions", f"sngan {environment.sngan}, torch {environment.torch}, python {environment.python}"
                     + (f", CUDA {environment.cuda}" if environment.cuda else "")),
        ("git", environment.git_commit),
        ("folder", str(folder) if folder.is_dir() else f"not in {folder.parent}"),
    ]  # fmt: skip


def _reason(run: Run) -> str | None:
    if run.status is Status.LOST and not run.reason:
        process = f"process {run.environment.pid} on {run.environment.host}"
        return f"{process} gives no sign of life" + (f" since {in_local_time(run.heartbeat)}" if run.heartbeat else "")
    return run.reason


def _way_on(run: Run, recorded: Recorded) -> tuple[str, str | None]:
    """What to do about a run that did not come to its end, or is not scored there, and the command that does it."""
    on_disk = [checkpoint.step for checkpoint in recorded.on_disk]
    if run.status is Status.FINISHED and run.steps in on_disk and not is_scored(run, recorded.scores, run.steps):
        return "score it", f"sngan train --resume {run.id}"
    if run.status not in (Status.INTERRUPTED, Status.LOST, Status.FAILED):
        return "", None
    if is_divergence(run.reason):
        return "ask why", f"sngan runs doctor {run.id}"
    return ("go on", f"sngan train --resume {run.id}") if on_disk else ("begin again", f"sngan train --like {run.id}")


def _duration(run: Run, events: Iterable[Event]) -> str | None:
    seconds = duration_of(run)
    if seconds is None or run.started is None:
        return None
    begin, end = in_local_time(run.started), run.ended or (run.heartbeat if run.status is Status.LOST else None)
    lasted = in_hours(seconds)
    said = f"{lasted}, from {begin} to {in_local_time(end)}" if end else f"{lasted} so far, since {begin}"
    resumed = sum(event.kind == "resumed" for event in events)
    return said + (f", breaks included: resumed {counted(resumed, 'time')}" if resumed else "")


def _best_and_last(run: Run, recorded: Recorded) -> str | None:
    """Which checkpoints `best` and `last` mean."""
    on_disk = [checkpoint.step for checkpoint in recorded.on_disk]
    if not on_disk:
        return "none on disk" if recorded.checkpoints else None
    best, last = best_step(run, recorded.scores, on_disk), max(on_disk)
    if best == last:
        return f"best and last are of step {last}"
    return f"last is of step {last}" if best is None else f"best is of step {best}, last of step {last}"


def _checkpoints(recorded: Recorded) -> list[tuple[str, str]]:
    on_disk, deleted = recorded.on_disk, [c.step for c in recorded.checkpoints if c.deleted is not None]
    rows = [
        (
            f"step {c.step}",
            f"{c.path}  {f'{c.size / 2**20:.1f} MiB  sha256 {c.sha256[:12]}' if c.sha256 else 'unrecorded'}",
        )
        for c in on_disk
    ]
    if deleted:
        rows.append(("deleted", f"{len(deleted)}, of {steps_in_words(deleted)}"))
    return rows


def _artifacts(artifacts: Iterable[Artifact]) -> list[tuple[str, str]]:
    """The files of each kind, a sheet of samples for each checkpoint among them, in a line."""
    by_kind: dict[str, list[str]] = {}
    for artifact in artifacts:
        by_kind.setdefault(artifact.kind, []).append(artifact.path)
    return [
        (kind, ", ".join(found) if len(found) < 3 else f"{len(found)} files, {found[0]} to {found[-1]}")
        for kind, found in by_kind.items()
    ]


def _series(run: Run, scores: Sequence[Score]) -> Series:
    found: dict[tuple[str, str, str], list[Score]] = {}
    for metric in metrics_of([run], scores):
        for score in scores:
            if score.metric == metric:
                found.setdefault((metric, score.protocol, score.generator_weights), []).append(score)
    of_metric: dict[str, list[list[Score]]] = {}
    for (metric, _, _), own in found.items():
        of_metric.setdefault(metric, []).append(sorted(own, key=lambda score: score.step))
    return {
        metric if len(several) == 1 else f"{metric} #{k}": own
        for metric, several in of_metric.items()
        for k, own in enumerate(several, 1)
    }


def _print_best_and_last(series: Series) -> None:
    if not series:
        return
    several = any(len(own) > 1 for own in series.values())
    columns = ("score", "weights", *(("best", "at step", "last", "at step") if several else ("value", "at step")))
    rows = [
        (f"{label} {'↑' if own[0].higher_is_better else '↓'}", own[0].generator_weights, *_cells(best_of(own)),
         *(_cells(own[-1]) if several else ()))
        for label, own in series.items()
    ]  # fmt: skip
    numbers = set(columns[2:])
    console.say("scores (↑ greater is better, ↓ less is)", "bold")
    console.print_table(columns, rows, right=numbers, whole={*numbers, "score"})
    for label, own in series.items():
        console.say(f"{label}: by {protocol_in_words(own[0].protocol, own)}", "dim")
    console.say("")


def _print_by_step(series: Series) -> None:
    """Print all values, a line for each step, in as many tables as it takes for lines to fit."""
    if all(len(own) == 1 for own in series.values()):
        return
    cells = {label: {score.step: _cells(score)[0] for score in own} for label, own in series.items()}
    steps = sorted({step for own in cells.values() for step in own})
    columns = [(label, *(own.get(step, "") for step in steps)) for label, own in cells.items()]
    console.say("scores by step", "bold")
    for group in fitting(columns, lead=max(len("step"), len(str(steps[-1])))):
        heads = ("step", *(label for label, *_ in group))
        lines = zip(map(str, steps), *(values for _, *values in group), strict=True)
        console.print_table(heads, [line for line in lines if any(line[1:])], right=heads, whole=heads)
        console.say("")


def _print_evidence(series: Series) -> None:
    """Print what scores rest on, once where it is the same for many."""
    scores = [score for own in series.values() for score in own]
    common = _common(scores)
    title = f"evidence of {'all scores' if len(scores) > 1 else 'the score'}"
    print_section(title, [(_key(key), _text(value)) for key, value in common.items()])
    for label, own in series.items():
        rows: list[tuple[str, str]] = [("protocol", own[0].protocol)]
        shared = _common(own)
        for key in dict.fromkeys(key for score in own for key in score.evidence):
            if key in shared:
                rows += [] if key in common else [(_key(key), _text(shared[key]))]
            else:
                told = _by_steps(own, key)
                rows += [("" if k else _key(key), said) for k, said in enumerate(told)]
        print_section(f"evidence of {label}", rows)


def _common(scores: Sequence[Score]) -> dict[str, Any]:
    """The evidence that all of these scores have, and have alike."""
    first = scores[0].evidence if scores else {}
    return {
        key: value
        for key, value in first.items()
        if all(key in score.evidence and repr(score.evidence[key]) == repr(value) for score in scores)
    }


def _by_steps(scores: Sequence[Score], key: str) -> list[str]:
    """What evidence says that is not alike for all of these scores, each time with the steps of which it does."""
    at: dict[str, list[int]] = {}
    for place, score in enumerate(scores):
        if key in score.evidence:
            at.setdefault(_text(score.evidence[key]), []).append(place)
    return [f"{_steps(places, scores)}: {text}" for text, places in at.items()]


def _steps(places: Sequence[int], scores: Sequence[Score]) -> str:
    """Steps of the scores in these places; of scores that follow on one another the first and the last."""
    parts: list[str] = []
    begin = places[0]
    for place, following in zip(places, (*places[1:], None), strict=True):
        if following != place + 1:
            steps = dict.fromkeys((scores[begin].step, scores[place].step))
            parts.append(" to ".join(map(str, steps)))
            begin = following or 0
    return f"step{'s' if len(places) > 1 else ''} {', '.join(parts)}"


def _cells(score: Score) -> tuple[str, str]:
    return value_in_words(score), str(score.step)


def _key(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    """A value of evidence, or one for each class."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner:.3f}" for name, inner in value.items())
    return f"{value:.6g}" if isinstance(value, float) else text_of(value)


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={text_of(value)}" for key, value in options.items() if value is not None)


def _last_scalars(scalars: Sequence[Scalar]) -> list[tuple[str, str]]:
    last = {scalar.name: scalar for scalar in scalars}
    return [(name, f"{scalar.value:.4f} at step {scalar.step}") for name, scalar in last.items()]

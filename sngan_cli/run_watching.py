"""Follows a run that another process trains, by what the registry knows: a live bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from signal import SIGTERM
from typing import TYPE_CHECKING

from rich.text import Text

from sngan_cli.bars import Bars
from sngan_cli.errors import DivergedError, SnganError, is_divergence
from sngan_cli.paths import runs_folder
from sngan_cli.rate import Rate
from sngan_cli.run_checkpoints import checkpoints_of
from sngan_cli.run_table import score_in_words
from sngan_cli.stopping import EXIT_CODES
from sngan_cli.wording import finished, joined, losses_in_words
from sngan_registry import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.progress import TaskID

    from sngan_registry import Event, Run, Score, Store


@dataclass(frozen=True)
class Sight:
    """What the registry knows of a run at one time; `losses` are the last ones, `step` is that of the latest news.

    `is_saved` says whether there is a checkpoint to go on from.
    """

    run: Run
    step: int
    losses: Mapping[str, float]
    scores: Sequence[Score]
    events: Sequence[Event]
    is_saved: bool


def look_at(store: Store, run_id: str) -> Sight:
    """See how a run stands."""
    run, last = store.run(run_id), store.last_scalars(run_id)
    step = max(run.step, *(scalar.step for scalar in last), 0)
    losses = {scalar.name: scalar.value for scalar in last}
    scores = sorted(store.scores(run_id), key=lambda score: score.step)
    is_saved = any(checkpoint.deleted is None for checkpoint in checkpoints_of(store, run, runs_folder()))
    return Sight(run, step, losses, scores, store.events(run_id), is_saved)


def watch(store: Store, run_id: str, interval: float) -> int:
    """Show a run every `interval` seconds until it ends; returns the exit code that its training had.

    A run that is lost has failed. One that was stopped counts as stopped by a scheduler: the registry does not know
    who did it.
    """
    with Watcher() as watcher:
        while True:
            sight = look_at(store, run_id)
            if sight.run.status not in (Status.QUEUED, Status.RUNNING):
                watcher.finish(sight)
                return exit_code(sight.run)
            watcher.show_progress(sight)
            time.sleep(interval)


def exit_code(run: Run) -> int:
    """Exit code of the process that trained a run, which has ended."""
    if run.status is Status.FINISHED:
        return 0
    if run.status is Status.INTERRUPTED:
        return EXIT_CODES[SIGTERM]
    return DivergedError.exit_code if is_divergence(run.reason) else SnganError.exit_code


class Watcher(Bars):
    """Shows one run: step, losses, the last score, images/s (real images that D saw) and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._beside_bar = self._live and sys.stdout.isatty()
        self._task: TaskID | None = None
        self._rate = Rate()
        self._before: Sight | None = None

    def show_progress(self, sight: Sight) -> None:
        """Show what has changed."""
        before = self._before
        self._tell_news(sight)
        self._count(before, sight)
        said, rate = joined(_last_score(sight), losses_in_words(sight.losses)), self._rate.text()
        self._update_bar(sight, said, rate)
        if not self._beside_bar and (before is None or _line_of(before) != _line_of(sight)):
            left = self._rate.left(_images(sight.run) * (sight.run.steps - sight.step))
            self._say(joined(sight.run.status.value, f"step {sight.step}/{sight.run.steps}", said, rate, left))

    def finish(self, sight: Sight) -> None:
        """Say what happened last, how the run ended, and what to do next."""
        self._tell_news(sight)
        self._bars.stop()
        self._say(_ending(sight))

    def _tell_news(self, sight: Sight) -> None:
        """Tell of events and scores since the last time, none at the first."""
        before, self._before = self._before, sight
        if before is None:
            return
        for event in sight.events[len(before.events) :]:
            at = "" if event.step is None else f"step {event.step}: "
            self._say(f"{at}{event.message}")
        known = set(map(_key_of, before.scores))
        for score in sight.scores:
            if _key_of(score) not in known:
                self._say(f"step {score.step}: {score_in_words(score)}")

    def _count(self, before: Sight | None, sight: Sight) -> None:
        steps = 0 if before is None else sight.step - before.step
        if sight.run.status is not Status.RUNNING or steps < 0:
            self._rate.pause()
        elif before is None or steps:
            self._rate.count(_images(sight.run) * steps)

    def _update_bar(self, sight: Sight, said: str, rate: str) -> None:
        run = sight.run
        title = f"{run.name or run.id} {run.status.value}"
        if self._task is None:
            self._task = self._bars.add_task(title, total=run.steps, completed=sight.step)
        self._bars.update(self._task, description=title, total=run.steps, completed=sight.step, said=said, rate=rate)

    def _say(self, line: str) -> None:
        """Write a line: on a terminal above the bar, else as a result, at once."""
        if self._beside_bar:
            self._console.print(Text(line), soft_wrap=True)
        else:
            self._results.write(f"{line}\n")
            self._results.flush()


def _line_of(sight: Sight) -> tuple[object, ...]:
    """What a line is about: it is written again where this changes."""
    return sight.run.status, sight.step, sight.run.steps, losses_in_words(sight.losses), _last_score(sight)


def _key_of(score: Score) -> tuple[object, ...]:
    """What tells a score from others; its value does not, since NaN is no value's equal."""
    return score.metric, score.protocol, score.step, score.created


def _images(run: Run) -> int:
    """Real images that D sees in a step."""
    return int(run.config.get("n_dis", 1)) * int(run.config.get("batch_size", 1))


def _last_score(sight: Sight) -> str:
    """The last score by the run's first metric, that by which checkpoints are chosen, made as it was trained."""
    first = next(iter(sight.run.config.get("metrics", {})), None)
    last = [score for score in sight.scores if score.metric == first and score.is_of_training][-1:]
    return "".join(f"{score.metric} = {score.value:.3f}" for score in last)


def _ending(sight: Sight) -> str:
    run = sight.run
    at = f"after step {sight.step} of {run.steps}"
    match run.status:
        case Status.FINISHED:
            return finished(run.id, sight.step, _last_score(sight))
        case Status.INTERRUPTED:
            return f"interrupted {at}. {_way_on(sight)}"
        case Status.LOST:
            process = f"process {run.environment.pid} on {run.environment.host}"
            return f"lost {at}: {process} gives no sign of life. {_way_on(sight)}"
        case _:
            return f"{run.status.value} {at}: {run.reason}"


def _way_on(sight: Sight) -> str:
    if sight.is_saved:
        return f"Go on with: sngan train --resume {sight.run.id}"
    return f"There is no checkpoint to go on from. Begin again with: sngan train --like {sight.run.id}"

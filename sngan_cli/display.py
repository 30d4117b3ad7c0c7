"""Shows a run while it trains: a live bar on a terminal, sparse lines elsewhere. All of it goes to stderr."""

from __future__ import annotations

import time
from pathlib import Path

from rich.progress import TaskID
from rich.text import Text

from sngan_cli import console
from sngan_cli.bars import QUIET, Bars
from sngan_cli.config import RunConfig
from sngan_cli.engine.loop import Result
from sngan_cli.events import CheckpointWritten, Compiling, Event, Noticed, Resumed, Scored, Scoring, Stepped
from sngan_cli.rate import Rate
from sngan_cli.run_table import score_in_words
from sngan_cli.wording import counted, finished, joined, losses_in_words


class Display(Bars):
    """Watches a run for the user: losses, the last score, images/s (real images that D saw) and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._task: TaskID | None = None
        self._rate = Rate()
        self._losses = self._score = ""
        self._spoken = time.monotonic()
        self._run_id = ""
        self._first_metric: str | None = None
        self._total = 0
        self._images = 0

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Stepped(step, losses):
                self._rate.count(self._images)
                if losses:
                    self._losses = losses_in_words(losses)
                self._show_step(step)
            case Scoring(_, done, total):
                self.show("scoring images", done, total)
            case Scored():
                if event.metric == self._first_metric:
                    self._score = f"{event.metric} = {event.value:.3f}"
                remark = f"; {event.evidence['remark']}" if "remark" in event.evidence else ""
                self.say(f"step {event.step}: {score_in_words(event)}{remark}")
            case CheckpointWritten(step):
                self._rate.pause()
            case Resumed(step, changes, dropped):
                if dropped:
                    self.say(f"dropped: {dropped}")
                if changes:
                    self.say(f"changed from step {step} on: {changes}")
            case Compiling():
                self.say("torch compiles the networks, which takes a minute or more")
            case Noticed(step, _, message):
                self.warn(f"step {step}: {message}")
            case _:
                pass

    @property
    def begun(self) -> bool:
        """Whether training has begun: there is a run by now."""
        return bool(self._run_id)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._spoken = time.monotonic()
        self._console.print(Text(line), soft_wrap=True)

    def begin(self, run_id: str, folder: Path, config: RunConfig, step: int) -> None:
        """Print the run's id to stdout, at once, if that can be written, and show what begins."""
        self._run_id = run_id
        self._first_metric = next(iter(config.metrics), None)
        self._total = config.steps or 0
        self._images = config.n_dis * config.batch_size
        since = f", on from step {step}" if step else ""
        self.say(
            f"run {run_id}: {config.dataset.name} {config.size} px, {counted(self._total, 'step')}{since}, in {folder}"
        )
        self._bars.stop()  # a live bar would share its line with the id
        out = console.Messages(self._results)  # a run does not end because nobody reads its id
        out.write(f"{run_id}\n")
        out.flush()
        self._bars.start()
        self._task = self._bars.add_task("training", total=self._total, completed=step, rate="")
        self._rate.pause()

    def finish(self, result: Result) -> None:
        """Say how the run ended, and what to do next."""
        self._bars.stop()
        if result.status == "interrupted":
            self.say(
                f"interrupted after step {result.step} of {self._total}, checkpoint written. Go on with: "
                f"sngan train --resume {self._run_id}"
            )
        else:
            self.say(finished(self._run_id, result.step, self._score))

    def _show_step(self, step: int) -> None:
        said, rate = joined(self._score, self._losses), self._rate.text()
        if self._task is not None:
            self._bars.update(self._task, completed=step, said=said, rate=rate)
        if not self._live and time.monotonic() - self._spoken > QUIET:
            left = self._rate.left(self._images * (self._total - step))
            self.say(joined(f"step {step}/{self._total}", said, rate, left))

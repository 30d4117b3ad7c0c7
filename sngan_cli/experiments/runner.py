"""Trains what an experiment still lacks, one case after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sngan_cli.config import Layer
from sngan_cli.display import Display
from sngan_cli.errors import SnganError
from sngan_cli.experiments.experiment import Experiment
from sngan_cli.experiments.plan import Planned, look_up
from sngan_cli.launch import Labels, Place, train_new, train_on
from sngan_cli.stopping import StopSignal


@dataclass(frozen=True)
class Ended:
    """How a session of training ended: its exit code, and the errors of cases that failed, by their label."""

    exit_code: int
    failed: dict[str, SnganError]


def train_missing(
    experiment: Experiment, planned: Sequence[Planned], overrides: Sequence[Layer], place: Place
) -> Ended:
    """Train the cases that have no finished run: interrupted ones from their last checkpoint, others anew.

    A case that fails once it trains, such as one that diverges, is left as it is, and the next one begins. What fails
    before it trains (missing data, say) is raised. A signal ends the session after the step; what is left is trained
    by the next one.
    """
    failed: dict[str, SnganError] = {}
    for number, item in enumerate(planned, start=1):
        run, state = look_up(place.store, item.tags, item.composition)  # another process may have been at it meanwhile
        stop = StopSignal()
        with Display() as display:
            head = f"[{number}/{len(planned)}] {experiment.name} {item.label}"
            if state in ("finished", "diverged", "running"):
                assert run is not None
                display.say(f"{head}: {state}, run {run.id}")
                continue
            display.say(f"{head}: {item.case.conditions}")
            try:
                if state == "interrupted" and run is not None:
                    result = train_on(run, _machine(overrides), place, Labels(), display, which="last", stop=stop)
                else:
                    labels = Labels(name=_name(experiment, item), tags=item.tags)
                    result = train_new(item.composition, place, labels, display, stop=stop)
            except SnganError as error:
                if not display.begun:
                    raise
                failed[item.label] = error
                display.warn(f"{item.label}: {error}")
                continue
            display.finish(result)
        if result.status != "finished":
            return Ended(stop.exit_code, failed)
    return Ended(max((error.exit_code for error in failed.values()), default=0), failed)


def _name(experiment: Experiment, item: Planned) -> str:
    seed = "" if item.seed == experiment.seeds[0] else f"/seed-{item.seed}"
    return f"{experiment.name}/{item.case.name}{seed}"


def _machine(overrides: Sequence[Layer]) -> list[Layer]:
    """Overrides that a run may be resumed with: where it is made."""
    return [
        Layer(layer.origin, {k: v for k, v in layer.values.items() if k in ("device", "data_dir")})
        for layer in overrides
    ]

"""Trains what an experiment still lacks, one case after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sngan_cli.composition import Composition
from sngan_cli.config import Layer
from sngan_cli.display import Display
from sngan_cli.engine.loop import Result
from sngan_cli.errors import CheckpointError, SnganError
from sngan_cli.experiments.experiment import Experiment
from sngan_cli.experiments.plan import Planned, look_up
from sngan_cli.labels import Labels
from sngan_cli.launch import MAY_CHANGE_ON_RESUME, TrainedElsewhereError, train_new, train_on
from sngan_cli.paths import Place
from sngan_cli.preparation import check, check_place
from sngan_cli.stopping import StopSignal
from sngan_registry import Run, Status


def train_missing(experiment: Experiment, planned: Sequence[Planned], overrides: Sequence[Layer], place: Place) -> int:
    """Train the cases that have no finished run, interrupted ones from their last checkpoint; returns the exit code.

    A finished one whose last step could not be scored is scored.

    A case that fails, such as one that diverges, is left as it is, and the next one begins; only what fails twice in a
    row before there is a run (missing data, say) is raised. A signal ends the session after the step; what is left is
    trained by the next one.
    """
    exit_code = 0
    unbegun = ""
    for number, item in enumerate(planned, start=1):
        run, state = look_up(place.store, item.tags, item.composition)  # another process may have been at it meanwhile
        with Display() as display:
            stop = StopSignal(display.say)
            head = f"[{number}/{len(planned)}] {experiment.name} {item.label}"
            if state in ("finished", "diverged", "running"):
                assert run is not None
                display.say(f"{head}: {state}, run {run.id}")
                continue
            display.say(f"{head}: {item.conditions(experiment)}")
            try:
                result = (
                    _resumed(run, item, overrides, place, display=display, stop=stop)
                    if state in ("interrupted", "unscored")
                    else None
                )
                if result is None:
                    result = _trained_anew(item, _name(experiment, item), place, display, stop)
            except TrainedElsewhereError as error:
                display.say(f"{head}: {error}")
                continue
            except SnganError as error:
                if not display.begun and str(error) == unbegun:
                    raise
                unbegun = "" if display.begun else str(error)
                exit_code = max(exit_code, error.exit_code)
                display.warn(f"{item.label}: {error}")
                continue
            display.finish(result)
            if result.unscored is not None:
                exit_code = max(exit_code, result.unscored.exit_code)
                display.warn(f"{item.label}: {result.unscored}")
        if result.status != "finished":
            return stop.exit_code
    return exit_code


def check_some(planned: Sequence[Planned], cache: Path) -> None:
    """Raise what stops the first case that is to be trained, where there is not one whose device and data are there."""
    first: SnganError | None = None
    for item in _pending(planned):
        try:
            check_place(item.composition, cache)
        except SnganError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def unfit(planned: Sequence[Planned], place: Place) -> dict[str, SnganError]:
    """What would stop cases that are still to be trained, by their label, as far as it shows without training."""
    pending = _pending(planned)
    of_cases = {item.case.name: item.composition for item in pending}  # what stops a case stops it with any seed
    errors = {name: _error_of(composition, place) for name, composition in of_cases.items()}
    return {item.label: error for item in pending if (error := errors[item.case.name]) is not None}


def _pending(planned: Sequence[Planned]) -> list[Planned]:
    return [item for item in planned if item.state in ("new", "interrupted", "unscored")]


def _error_of(composition: Composition, place: Place) -> SnganError | None:
    try:
        check(composition, place)
    except SnganError as error:
        return error
    return None


def _resumed(
    run: Run | None, item: Planned, overrides: Sequence[Layer], place: Place, *, display: Display, stop: StopSignal
) -> Result | None:
    """Go on with an interrupted or unscored run; None where an interrupted one has no checkpoint that can be read.

    One that owes only its score is not made again for want of it.
    """
    assert run is not None
    try:
        return train_on(run, _allowed(overrides), place, Labels(), display, which="last", stop=stop)
    except CheckpointError as error:
        if display.begun or run.status is Status.FINISHED:
            raise
        display.warn(f"{error} {item.label} is trained anew.")
        return None


def _trained_anew(item: Planned, name: str, place: Place, display: Display, stop: StopSignal) -> Result:
    """Train a new run, unless another process has begun the same while the data were prepared."""

    def is_taken() -> bool:
        return look_up(place.store, item.tags, item.composition)[1] in ("finished", "unscored", "running")

    return train_new(item.composition, place, Labels(name=name, tags=item.tags), display, stop=stop, is_taken=is_taken)


def _name(experiment: Experiment, item: Planned) -> str:
    seed = "" if item.seed == experiment.seeds[0] else f"/seed-{item.seed}"
    return f"{experiment.name}/{item.case.name}{seed}"


def _allowed(overrides: Sequence[Layer]) -> list[Layer]:
    """What a run may be resumed with of the overrides; it was begun with the others."""
    return [
        Layer(layer.origin, {k: v for k, v in layer.values.items() if k in MAY_CHANGE_ON_RESUME}) for layer in overrides
    ]

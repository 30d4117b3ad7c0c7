"""The training run: iterations, and what happens between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from sngan_cli.catalog import reason_of
from sngan_cli.composition import Composition
from sngan_cli.contracts import Features, LoadedExtractor
from sngan_cli.engine import checkpoint, evaluation, features, pictures, sampling
from sngan_cli.engine.checkpoint import Progress
from sngan_cli.engine.data import ImageStream, derived_seed
from sngan_cli.engine.device import enough_memory, resolve_device, set_precision
from sngan_cli.engine.distributed import World
from sngan_cli.engine.evaluation import Drawing, Failure, References
from sngan_cli.engine.extraction import Extraction, Precision
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.quickest import compiler_said, quickest
from sngan_cli.engine.schedule import due, is_kept_for_good, is_scheduled
from sngan_cli.engine.watch import Watch
from sngan_cli.errors import ComponentError, UncompiledError, UnscoredError
from sngan_cli.events import (
    CheckpointRemoved,
    CheckpointWritten,
    Noticed,
    Observer,
    SamplesDrawn,
    Saving,
    Scored,
    Scoring,
    Stepped,
)


class LabelledImages(features.RealImages, Protocol):
    """Its labels (N,), and what they are called."""

    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...] | None: ...  # noqa: D102


@dataclass(frozen=True)
class Result:
    """How a run ended, and at which step; `unscored` says by which metrics that is not scored, if by any."""

    status: Literal["finished", "interrupted"]
    step: int
    unscored: UnscoredError | None = None


class Training:
    """One run: the networks, the data, and the folder that they are saved to.

    `stop` is asked after every iteration; once it answers yes the run writes a checkpoint and ends as interrupted.
    `cache` is a folder in which features of real images are kept. Where several processes make up the `world`, each
    runs this with its own device, and the one that leads alone scores, saves and has anything to observe.
    """

    def __init__(
        self,
        composition: Composition,
        data: LabelledImages,
        folder: Path,
        observer: Observer,
        *,
        extractor: LoadedExtractor | None = None,
        stop: Callable[[], bool] = lambda: False,
        cache: Path | None = None,
        world: World | None = None,
    ) -> None:
        config = composition.config
        self.world = world or World(resolve_device(config.device))
        set_precision(config.precision, self.world.device)
        classes = len(data.class_names) if config.conditional and data.class_names else None
        self.config, self.composition, self.data = config, composition, data
        self.gan = Gan.build(composition, classes, self.world)
        self.real = ImageStream(
            data.images,
            data.labels,
            device=self.world.device,
            seed=config.seed,
            flip=config.flip,
            dequantize=config.dequantize,
            share=self.world.share,
        )
        self.progress = Progress(
            step=0,
            drawn=0,
            data_sha256=data.data_sha256,
            class_names=data.class_names if classes else None,
            devices=self.world.size,
        )
        self._folder, self._observe, self._stop = folder, observer, stop
        self._extraction: Extraction | None = None
        if extractor is not None:
            # G draws and the extractor looks in full precision, but for what a GPU does to every product in tf32.
            precision: Precision = "tf32" if config.precision == "tf32" else "fp32"
            self._extraction = Extraction.of(composition, extractor, self.world.device, precision)
        self._stopping, self._cache = False, cache
        self._failed: dict[str, Failure] = {}
        self._real: References | None = None
        self._checkpoints = folder / "checkpoints"
        self._watch = Watch(self.gan)
        torch.manual_seed(derived_seed(config.seed, "torch") + self.world.rank)

    def resume(self, folder: Path) -> None:
        """Go on from a verified checkpoint, exactly as if the run had never stopped."""
        progress = checkpoint.read_progress(folder)
        progress.check(self.data.data_sha256, self.world.size)
        self.progress, self.real.drawn = progress, progress.drawn
        if not self.gan.load_state(checkpoint.read_state(folder)):
            self.gan.reseed(derived_seed(self.config.seed, f"training from step {progress.step}"))
            kind = self.gan.device.type
            message = (
                f"The run goes on with other random numbers than it would have had, since it moved to a {kind} device."
            )
            self._observe(Noticed(progress.step, "moved", message))
        if self.world.leads:  # whose process may have been killed before it had done this
            self._drop_others()
            self._draw_samples(progress.step)

    def run(self) -> Result:
        """Train to the configured number of steps.

        Raises `DivergedError` when a loss or weight is no longer finite, and `CheckpointError` when saving fails. A
        score that fails is told of, and costs no training.
        """
        total = self.config.steps or 0
        if self.world.any(self.progress.step == total or self._owes_score()):
            self._finish_step()
        if self.progress.step < total and not self._stopping:
            self._train(total)
        step = self.progress.step
        if step < total or (self._owes_score() and not self._failed):
            return Result("interrupted", step)
        return Result("finished", step, self._unscored())

    def _train(self, total: int) -> None:
        """Make the steps that are left of so many, until the run is to stop."""
        first = self.progress.step
        iterate = quickest(self.gan, self.real, self.config, total - first, step=first, observe=self._observe)
        for step in range(first + 1, total + 1):
            self.gan.schedule(self.config, step)
            with _explained(step, self.config.loss.name):
                losses = iterate()
            self.progress = replace(self.progress, step=step, drawn=self.real.drawn)
            self._stopping = self.world.any(self._stop())  # asked once a step, so that no run ends without saving
            logged = step in (1, total) or step % self.config.log_every == 0
            values = self._watch.check(losses, step, read=logged)
            self._observe(Stepped(step, values))
            for notice in self._watch.notices(step, values):
                self._observe(notice)
            self._finish_step()
            if self._stopping:
                break

    def _finish_step(self) -> None:
        """Score and save where it is time to. A run that is to stop saves, and owes its score until it is resumed."""
        step = self.progress.step
        if not (self._stopping or is_scheduled(self.config, step)):
            return
        self._watch.check_weights(step)
        self._failed = {}
        if self._owes_score() and not self._stopping:
            on_gpu = [self.world.device] if self.world.device.type == "cuda" else []
            with torch.random.fork_rng(on_gpu):  # what scores draw changes nothing that is trained
                self._try_to_score(step)
        self._save(step)
        self._stopping = self.world.any(self._stopping)  # the leader may have been asked to stop while it scored

    def _owes_score(self) -> bool:
        step = self.progress.step
        is_time = step == self.config.steps or due(step, self.config.eval_every)
        return self._extraction is not None and is_time and self.progress.scored_step != step

    def _try_to_score(self, step: int) -> None:
        """Score, or tell why that failed: nothing that was trained is lost for want of a score."""
        try:
            self._score(step)
        except (Exception, SystemExit) as error:
            self._failed = dict.fromkeys(self.composition.metrics, error)
        by_reason: dict[str, list[str]] = {}
        for name, failure in self._failed.items():
            by_reason.setdefault(reason_of(failure, self.composition.entries.values()), []).append(name)
        for reason, names in by_reason.items():
            self._observe(Noticed(step, "unscored", f"Not scored by {', '.join(names)}. {reason}"))

    def _unscored(self) -> UnscoredError | None:
        """What to say at the end where metrics could not score the last step."""
        if not self._failed:
            return None
        error = UnscoredError(
            f"Step {self.progress.step} is not scored by {', '.join(self._failed)}, as is said above. Once that is "
            f"mended, score it with: sngan train --resume {self._folder.name}"
        )
        error.__cause__ = next(iter(self._failed.values()))
        return error

    def _score(self, step: int) -> None:
        assert self._extraction is not None
        total = self.config.eval_samples
        class_names = self.data.class_names if self.gan.classes else None
        drawing = Drawing(weights=self.config.weights, seed=self.config.seed)

        def report(done: int, of: int = total) -> bool:
            self._observe(Scoring(step, done, of))
            self._stopping = self._stopping or self._stop()
            return not self._stopping

        try:
            even = [1.0] * len(class_names) if class_names else None
            for scored in evaluation.score(
                evaluation.generated(self.gan.drawing(self.config.weights), total, even, drawing),
                self.composition.metrics,
                self._extraction,
                step=step,
                samples=total,
                class_names=class_names,
                real=self._references(report),
                settings=drawing.settings(conditional=class_names is not None),
                evidence={**drawing.evidence(conditional=class_names is not None), "checkpoint": "while training"},
                progress=report,
                unscored=self._failed.__setitem__,
            ):
                self._observe(scored)
                if scored.metric == next(iter(self.composition.metrics)):
                    self._remember_best(scored)
        except features.ScoringStoppedError:
            self._observe(Noticed(step, "unscored", "Not scored: the run was asked to stop."))
            return
        if not self._failed:
            self.progress = replace(self.progress, scored_step=step)

    def _references(self, report: Callable[[int, int], bool]) -> References:
        """What metrics made of the real images: the first score measures it, and the others use it again."""
        if self._real is None:
            assert self._extraction is not None
            extraction = self._extraction

            def features_of(chosen: np.ndarray) -> Iterator[Features]:
                count = len(chosen)
                return features.of_real(
                    extraction, self.data, chosen, cache=self._cache, progress=lambda done: report(done, count)
                )

            found = evaluation.references(
                self.composition.metrics,
                features_of,
                self.data.labels,
                self.data.data_sha256,
                conditional=bool(self.gan.classes),
                count=self.config.eval_samples,
            )
            if found.failed:  # what has failed once may succeed the next time
                return found
            self._real = found
        return self._real

    def _remember_best(self, scored: Scored) -> None:
        best = self.progress.best_value
        better = best is None or (scored.value > best if scored.higher_is_better else scored.value < best)
        if better and math.isfinite(scored.value):
            self.progress = replace(self.progress, best_step=scored.step, best_value=scored.value)

    def _save(self, step: int) -> None:
        if is_kept_for_good(self.config, step) and step not in self.progress.kept:
            self.progress = replace(self.progress, kept=(*self.progress.kept, step))
        state = self.gan.state()
        if not self.world.leads:
            return
        self._observe(Saving(step))
        written = checkpoint.write(self._checkpoints, self.progress, state)
        self._observe(CheckpointWritten(step, written.folder, written.size, written.sha256))
        self._drop_others()
        self._draw_samples(step)

    def _drop_others(self) -> None:
        """Delete the checkpoints that need not stay, recorded first, so that none is missed that is gone."""
        stay = {self.progress.step, self.progress.best_step, *self.progress.kept}
        for old in checkpoint.steps_in(self._checkpoints):
            if old not in stay:
                self._observe(CheckpointRemoved(old))
                checkpoint.remove(self._checkpoints, old)

    def _draw_samples(self, step: int) -> None:
        """Draw the run's fixed latents: one class a row where it is conditional."""
        classes = self.gan.classes
        rows, columns = min(classes or 8, 10), 10 if classes else 8
        generator = self.gan.drawing(self.config.weights)
        z = sampling.latents(generator, rows * columns, self.config.seed, "samples")
        y = sampling.sheet_labels(classes, None, rows * columns, columns)
        drawn = sampling.images(generator, z, y, seed=self.config.seed)
        path = self._folder / "samples" / f"step-{step:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.save(pictures.grid(sampling.to_arrays(drawn), columns), path)
        self._observe(SamplesDrawn(step, path))


_NO_LOSS = {
    "element 0 of tensors does not require grad": "does not depend on the logits at step {}: it has no gradient",
    "grad can be implicitly created only for scalar": "at step {} is no scalar",
    "object has no attribute 'backward'": "at step {} is no scalar",  # but a number or None
}
"""What is said where it is to minimise what is no loss, and what that means."""


@contextmanager
def _explained(step: int, loss: str) -> Iterator[None]:
    """Context of a step with the loss of that name, whose errors of torch's say what to do."""
    try:
        with enough_memory(f"at step {step}", "lower --batch-size and --g-batch-size, or try --precision bf16"):
            yield
    except Exception as error:
        for said, amiss in _NO_LOSS.items():
            if said in str(error):  # the networks and the loss were tried, but not at these logits
                raise ComponentError(f"What the loss {loss!r} gives {amiss.format(step)}. Tell its author.") from error
        if "support double backward" in str(error):
            raise UncompiledError(
                f"The penalty of the loss {loss!r} differentiates D twice, which compiled networks cannot be: leave "
                "--compile on out."
            ) from error
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UncompiledError(
            f"The networks cannot be compiled ({compiler_said(error)}): leave --compile on out."
        ) from error

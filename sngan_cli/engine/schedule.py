"""When things happen in a run, and how its learning rates fall."""

from __future__ import annotations

from sngan_cli.config import RunConfig


def rate_at(config: RunConfig, step: int) -> float:
    """Fraction of the learning rate in update `step` (from 1): linear decay reaches 0 after the last update."""
    if config.lr_decay == "none" or not config.steps:
        return 1.0
    return 1 - (step - 1) / config.steps


def averaging_at(config: RunConfig, step: int) -> float:
    """Weight of the present generator in its average after update `step` (from 1): 1 - decay.

    The decay rises to its full value over the first updates, (1 + t) / (10 + t), so that the random initial weights are
    soon forgotten.
    """
    return 1 - min(config.ema, (1 + step) / (10 + step))


def is_scheduled(config: RunConfig, step: int) -> bool:
    """Whether a checkpoint is written after `step`, be the run asked to stop or not."""
    return (
        step == config.steps
        or due(step, config.checkpoint_every)
        or due(step, config.eval_every)
        or (config.keep_every > 1 and due(step, config.keep_every))
    )


def is_kept_for_good(config: RunConfig, step: int) -> bool:
    """Whether the checkpoint of `step` is a scheduled one, not one of a stop, and falls on a multiple of keep_every."""
    return is_scheduled(config, step) and due(step, config.keep_every)


def due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps, 0 being never, happens after `step`."""
    return every > 0 and step > 0 and step % every == 0

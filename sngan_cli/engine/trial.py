"""Components at work on an image or two, before there is a run or a score: what they cannot do is said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sngan_cli.catalog import blaming
from sngan_cli.composition import Composition
from sngan_cli.contracts import Features, LoadedExtractor, Metric
from sngan_cli.engine import sampling
from sngan_cli.engine.distributed import World
from sngan_cli.engine.evaluation import settings_of, show
from sngan_cli.engine.extraction import classes_of, features_of
from sngan_cli.engine.gan import Gan
from sngan_cli.errors import ComponentError, UsageError
from sngan_cli.wording import first_of


def try_networks(composition: Composition, classes: int | None, device: torch.device) -> None:
    """Build both networks and pass an image or two through them and the loss and back, before there is a run.

    Raises `ComponentError` where that fails, or gives anything but images, logits and scalars of the right shapes, each
    with a gradient, which a penalty may do without.
    """
    config = composition.config
    assert config.size is not None  # resolved before anything is built
    # As few as one normalisation of a step may see: batches are shared, and what is synchronised sees the whole.
    shares = 1 if config.sync_batch_norm else config.devices
    images = min(2, config.batch_size // shares, config.g_batch_size // shares)
    try:
        gan = Gan.build(composition, classes, World(device))
        with gan.arithmetic():
            z, y = gan.latents(images)
            fake = gan.generator(z, y)
            _check(config.arch_g.name, "images", fake, (images, 3, config.size, config.size), of="its weights")
            logits = gan.discriminator(fake, y)
            _check(config.arch_d.name, "logits", logits, (images,), of="its weights")
            losses = _try_loss(gan, composition, logits.float(), fake.detach().float(), y)
        sampling.images(gan.generator, z, y, seed=0)  # as scores and pictures are: in evaluation mode
        for loss in losses:
            loss.backward()  # type: ignore[no-untyped-call]
    except ComponentError:
        raise
    except (Exception, SystemExit) as error:  # third parties' components fail in any way
        batches = " and ".join(str(batch // shares) for batch in (config.batch_size, config.g_batch_size))
        raise ComponentError(
            f"The networks {config.arch_g.name!r} and {config.arch_d.name!r} cannot be used at {config.size} px with "
            f"these options and batches of {batches}: {type(error).__name__}: {error}"
        ) from error


def try_extractor(loaded: LoadedExtractor, name: str) -> Features:
    """Features of two images, to try with what is to come; raises `ComponentError` where an extractor gives none."""
    with torch.no_grad():
        found = features_of(loaded, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), name)
    if not isinstance(getattr(loaded, "weights_sha256", None), str):
        raise ComponentError(f"{name!r} has no attribute weights_sha256 (a str), which tells its scores from others.")
    return found


def try_metrics(metrics: Mapping[str, Metric], shown: Features, images: int) -> None:
    """Show features that the extractor has given to metrics of `images` images, before there is anything to lose.

    Raises `UsageError` where a metric cannot do with them, and `ComponentError` where it changes them, or its protocol
    cannot be written.
    """
    labelled = replace(shown, labels=torch.zeros(len(shown.pooled), dtype=torch.int64))
    for name, metric in metrics.items():
        settings_of(name, metric)
        show(labelled, name, metric.accumulator(images))


def check_classes(
    loaded: LoadedExtractor,
    metrics: Mapping[str, Metric],
    shown: Features,
    class_names: Sequence[str] | None,
    why: str,
) -> None:
    """Raise `UsageError` where a metric needs classes and there are none, because of `why`, or not the extractor's.

    `shown` are features that it has given.
    """
    if class_names is None:
        lacking = [repr(name) for name, metric in metrics.items() if metric.needs_classes or metric.needs_same_classes]
        if lacking:
            one = len(lacking) == 1
            what = f"metric {lacking[0]} needs" if one else f"metrics {', '.join(lacking)} need"
            raise UsageError(f"The {what} classes, and {why}: leave {'it' if one else 'them'} out.")
        return
    for name, metric in metrics.items():
        if metric.needs_same_classes:
            known = classes_of(loaded)
            told = shown.logits.shape[1]
            if (known and known != tuple(class_names)) or told != len(class_names):
                raise UsageError(
                    f"The metric {name!r} needs an extractor of the images' own classes, {first_of(class_names)}, and "
                    f"this one tells {told} apart{f', {first_of(known)}' if known else ''}: train one on these data "
                    "with `sngan extractors train NAME`, or leave the metric out."
                )


def _try_loss(
    gan: Gan, composition: Composition, logits: Tensor, fake: Tensor, y: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Losses of both networks, G's on `logits`, and D's with its penalty on what a step has: images without gradients.

    The loss is a copy of the run's, which may remember what it has seen.
    """
    name, entry = composition.config.loss.name, composition.entries["loss"]
    loss = gan.loss.model_copy(deep=True)
    real = torch.empty_like(fake).uniform_(-1, 1)

    def judge_again(images: Tensor, of: str = "real") -> Tensor:
        judged: Tensor = gan.discriminator(images, y)
        return judged.float()

    real_logits, fake_logits = judge_again(real), judge_again(fake, of="fake")
    given = (real_logits, fake_logits, logits, real, fake)
    before = [tensor._version for tensor in given]
    with blaming(entry):
        loss_d = loss.discriminator(real_logits, fake_logits)
        loss_g = loss.generator(logits)
    _check(name, "a loss of D", loss_d, (), of="the logits")
    _check(name, "a loss of G", loss_g, (), of="the logits")
    with blaming(entry, "the penalty"):
        penalty = loss.penalty(judge_again, real, fake)
    if penalty is not None:
        _check(name, "a penalty", penalty, ())
    if [tensor._version for tensor in given] != before:
        raise ComponentError(
            f"The loss {name!r} changes the logits or images that it is given: it must copy them first. Tell its "
            "author."
        )
    return (loss_d if penalty is None else loss_d + penalty), loss_g


def _check(component: str, what: str, found: object, shape: tuple[int, ...], *, of: str | None = None) -> None:
    """Raise `ComponentError` where what a component gives has another shape, or does not depend on what it is `of`."""
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        given = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ComponentError(f"{component!r} gives {given} for {what}, not one of shape {shape}: tell its author.")
    if of is not None and not found.requires_grad:
        raise ComponentError(
            f"What {component!r} gives for {what} does not depend on {of}: it has no gradient. Tell its author."
        )

"""The training step: algorithm 1 of Miyato et al., "Spectral Normalization for GANs" (2018).

Where several processes train together, batches are this process's share of them, and losses those on that share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sngan_cli.config import RunConfig
from sngan_cli.contracts import Loss
from sngan_cli.engine.data import Batches
from sngan_cli.engine.device import meanwhile
from sngan_cli.engine.gan import Gan, constraints, frozen


@dataclass(frozen=True)
class Losses:
    """Losses of the last discriminator update and of the generator update, as scalars on the device.

    That of D is without its `penalty`, which is None where the loss has none.
    """

    discriminator: Tensor
    generator: Tensor
    penalty: Tensor | None = None


def blind_loss(loss: Loss) -> float:
    """D's least loss where it tells nothing apart and every logit is the same: 2 for hinge, 2 log 2 for cross-entropy.

    That logit is 0 for losses that treat real and generated images alike, and 1/2 for the least squares of 0 and 1; it
    is looked for from -2 to 2 in steps of 1/64.
    """
    return min(float(loss.discriminator(logit, logit)) for logit in torch.linspace(-2, 2, 257)[:, None].unbind())


def iteration(gan: Gan, real: Batches, config: RunConfig) -> Losses:
    """Make one generator update and the n_dis discriminator updates that go with it."""
    if config.fakes == "reused":
        # The article's order: the generator moves first, and the discriminator sees that one batch n_dis times.
        loss_g, fake, fake_y = update_generator(gan, config.g_batch_size)
        for _ in range(config.n_dis):
            advance(gan.discriminator)
            x, y = real.next(config.batch_size, gan.random)
            loss_d, penalty = update_discriminator(
                gan, x, y, fake[: len(x)], None if fake_y is None else fake_y[: len(x)]
            )
    else:
        for _ in range(config.n_dis):
            with meanwhile(gan.device, partial(advance, gan.discriminator)):
                fake, fake_y = draw(gan, config.batch_size)
                x, y = real.next(config.batch_size, gan.random)
            loss_d, penalty = update_discriminator(gan, x, y, fake, fake_y)
        loss_g, _, _ = update_generator(gan, config.g_batch_size)
    if gan.averaged is not None:
        average(gan.averaged, gan.generator, gan.averaging)
    return Losses(loss_d, loss_g, penalty)


def update_discriminator(
    gan: Gan, x: Tensor, y: Tensor, fake: Tensor, fake_y: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """One step of D on real images `x` and generated ones `fake`; returns its loss, and the penalty if there is one.

    D's weight constraints have been brought up to date.
    """
    real_y = None if gan.classes is None else y

    def judge_again(images: Tensor, of: Literal["real", "fake"] = "real") -> Tensor:
        logits: Tensor = gan.discriminator(images, {"real": real_y, "fake": fake_y}[of])
        return logits.float()

    with gan.arithmetic(), parametrize.cached():
        real_logits, fake_logits = judge(gan, x, real_y, fake, fake_y)
        loss = gan.loss.discriminator(real_logits.float(), fake_logits.float())
        penalty = gan.loss.penalty(judge_again, x, fake)
    gan.optimizer_d.zero_grad()
    (loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
    gan.world.average_gradients(gan.discriminator)
    gan.optimizer_d.step()
    return loss.detach(), None if penalty is None else penalty.detach()


def update_generator(gan: Gan, images: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """One step of G; returns its loss and the images, with their labels, that it was made on."""
    advance(gan.generator)
    z, y = gan.latents(images)
    with gan.arithmetic(), frozen(gan.discriminator), parametrize.cached():
        fake = gan.generator(z, y)
        loss = gan.loss.generator(gan.discriminator(fake, y).float())
    gan.optimizer_g.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gan.world.average_gradients(gan.generator)
    gan.optimizer_g.step()
    return loss.detach(), fake.detach().float(), y


@torch.no_grad()
def draw(gan: Gan, images: int) -> tuple[Tensor, Tensor | None]:
    """Generate fresh images for the discriminator."""
    z, y = gan.latents(images)
    with gan.arithmetic():
        return gan.generator(z, y).float(), y


def judge(gan: Gan, x: Tensor, y: Tensor | None, fake: Tensor, fake_y: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits of real and generated images, in one pass of D over both: exact unless D normalises over the batch."""
    if gan.separate:
        return gan.discriminator(x, y), gan.discriminator(fake, fake_y)
    labels = None if y is None or fake_y is None else torch.cat([y, fake_y])
    logits: Tensor = gan.discriminator(torch.cat([x, fake]), labels)
    return logits[: len(x)], logits[len(x) :]


def advance(network: nn.Module) -> None:
    """Bring weight constraints up to date (for spectral norm: one power iteration), once an update of the network."""
    for constraint in constraints(network):
        constraint.advance()


@torch.no_grad()
def average(averaged: nn.Module, generator: nn.Module, weight: Tensor) -> None:
    """Move the averaged generator towards the present one by `weight` (a scalar), batch statistics included.

    Averaged singular vectors are no longer of unit length: one power iteration makes them so again.
    """
    for target, source in zip(averaged.state_dict().values(), generator.state_dict().values(), strict=True):
        if target.is_floating_point():
            target.lerp_(source, weight.to(target.dtype))
        else:
            target.copy_(source)
    advance(averaged)

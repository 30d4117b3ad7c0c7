"""What a loss promises: scalars that are means over the batch, keep nothing, and pull real and fake images apart."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu
from sngan_cli.conformance.promises import Bench, Promise, about, expect
from sngan_cli.contracts import Loss

IMAGES = 4
"""Real images, and generated ones, that a penalty is tried with."""
_CPU = torch.device("cpu")


def gives_finite_scalars(loss: Loss, bench: Bench) -> None:
    """Raise where a loss is no finite scalar."""
    real, fake = _logits()
    for of, value in (("D", loss.discriminator(real, fake)), ("G", loss.generator(fake))):
        expect_scalar(f"the loss of {of}", value)


def is_a_mean(loss: Loss, bench: Bench) -> None:
    """Raise where the same images twice have another loss than once."""
    real, fake = _logits()
    once, of_g = loss.discriminator(real, fake), loss.generator(fake)
    with about("the loss of D, on twice the real images"):
        torch.testing.assert_close(loss.discriminator(real.repeat(2), fake), once)
    with about("the loss of D, on twice the generated images"):
        torch.testing.assert_close(loss.discriminator(real, fake.repeat(2)), once)
    with about("the loss of G, on twice the images"):
        torch.testing.assert_close(loss.generator(fake.repeat(2)), of_g)


def pulls_apart(loss: Loss, bench: Bench) -> None:
    """Raise where gradient descent moves the mean logits the wrong way, from near 0.

    Single ones may move either way: least-squares losses pull logits of generated images that are too low up again.
    """
    real, fake = (part.requires_grad_() for part in _logits())
    of_d, of_g = loss.discriminator(real, fake), loss.generator(fake)
    for of, value in (("D", of_d), ("G", of_g)):
        expect(value.requires_grad, f"the loss of {of} does not depend on the logits: it has no gradient")
    on_real, on_fake = (g.sum().item() for g in torch.autograd.grad(of_d, [real, fake]))
    (for_generator,) = torch.autograd.grad(of_g, fake)
    rise = f"real logits rise by {-on_real:.3g} and generated ones by {-on_fake:.3g} for each unit of the rate"
    expect(on_real < on_fake, f"D's loss does not pull them apart: {rise}")
    expect(for_generator.sum() < 0, f"G's loss does not raise its logits: they fall by {for_generator.sum():.3g}")


def remembers_nothing(loss: Loss, bench: Bench) -> None:
    """Raise where logits or images have another loss once others were seen: no checkpoint knows what a loss keeps."""
    of = ("the loss of D", "the loss of G", "the penalty")
    before = [_asked(loss, what, seed=0) for what in of]
    for what in of:
        _asked(loss, what, seed=1)
    for what, first in reversed(list(zip(of, before, strict=True))):  # G may look at what D was given
        found = _asked(loss, what, seed=0)
        expect(
            found is first if found is None or first is None else torch.equal(found, first),
            f"{what} is another one after others were asked for: what a loss keeps is in no checkpoint, so that a run "
            "does not resume exactly. Compute it from what is given alone",
        )


def leaves_what_it_is_given_alone(loss: Loss, bench: Bench) -> None:
    """Raise where a loss changes logits, or the penalty images, which the networks' gradients or others need."""
    (real, fake), (images, others, weight) = _logits(), _images()
    loss.discriminator(real, fake)
    loss.generator(fake)
    _penalty(loss, images, others, weight)
    same = all(map(torch.equal, (real, fake, images, others), (*_logits(), *_images())))
    expect(same, "it changes the logits or images that it is given: it must copy them first")


def penalises_by_a_scalar(loss: Loss, bench: Bench) -> None:
    """Raise where there is a penalty that is no finite scalar, or that judges images that have no labels."""
    penalty = _penalty(loss, *_images())
    if penalty is not None:
        expect_scalar("the penalty", penalty)


def stays_on_a_gpu(loss: Loss, bench: Bench) -> None:
    """Raise where losses of logits on a GPU need a tensor elsewhere. Shapes and devices alone, without arithmetic."""
    with absent_gpu():
        real, fake = (torch.zeros_like(part, device=GPU) for part in _logits())
        for of, value in (("D", loss.discriminator(real, fake)), ("G", loss.generator(fake))):
            expect(value.device == GPU, f"the loss of {of} is on the device {str(value.device)!r}")


def penalty_stays_on_a_gpu(loss: Loss, bench: Bench) -> None:
    """Raise where a penalty of images on a GPU needs a tensor elsewhere. Shapes and devices alone."""
    with absent_gpu():
        penalty = _penalty(loss, *_images(GPU))
        if penalty is not None:
            torch.add(torch.zeros((), device=GPU), penalty)  # as the step adds it: a number on the CPU will do


def expect_scalar(what: str, value: Tensor) -> None:
    """Raise unless value is a finite scalar."""
    expect(isinstance(value, Tensor) and value.shape == (), f"{what} is no scalar: {value}")
    expect(value.isfinite(), f"{what} is {value.item()}")


def _asked(loss: Loss, what: str, seed: int) -> Tensor | None:
    """A loss or the penalty, of logits, images and random numbers that depend on the seed."""
    real, fake = _logits(seed)
    torch.manual_seed(seed)
    match what:
        case "the loss of D":
            found: Tensor | None = loss.discriminator(real, fake)
        case "the loss of G":
            found = loss.generator(fake)
        case _:
            found = _penalty(loss, *_images(seed=seed))
    return None if found is None else torch.as_tensor(found)


def _logits(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of 80 real and 40 generated images, near 0: of 40 the best half, tenth or eighth are a whole number."""
    random = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(80, generator=random), 0.1 * torch.randn(40, generator=random)


def _images(device: torch.device = _CPU, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Real and generated images on a device, and the weight of a linear discriminator."""
    random = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, IMAGES, 3, 8, 8, generator=random).to(device)
    return real, fake, torch.randn(3, 8, 8, generator=random).to(device).requires_grad_()


def _penalty(loss: Loss, real: Tensor, fake: Tensor, weight: Tensor) -> Tensor | None:
    """Penalty of a linear discriminator, which has labels for as many images as there are of each kind."""

    def discriminator(images: Tensor, of: Literal["real", "fake"] = "real") -> Tensor:
        expect(
            len(images) == IMAGES,
            f"the penalty has {len(images)} images judged at once, of {IMAGES} real and {IMAGES} generated ones: in a "
            f"conditional run labels go with {IMAGES}. Judge real and generated ones in passes of their own",
        )
        return (images * weight).sum((1, 2, 3))

    return loss.penalty(discriminator, real, fake)


PROMISES = (
    Promise("both losses are finite scalars", gives_finite_scalars),
    Promise("losses are means over the batch", is_a_mean),
    Promise("D is moved to tell images apart, and G to be taken for real", pulls_apart),
    Promise("losses depend on nothing that was seen before", remembers_nothing),
    Promise("logits and images stay as they are", leaves_what_it_is_given_alone),
    Promise("of logits on a GPU, losses are there", stays_on_a_gpu),
    Promise("a penalty, where there is one, is a finite scalar of N images at a time", penalises_by_a_scalar),
    Promise("of images on a GPU, a penalty is there", penalty_stays_on_a_gpu),
)

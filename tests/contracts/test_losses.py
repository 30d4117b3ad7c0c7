"""What every installed loss does, a third party's too."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
import torch
from torch import Tensor

from sngan_cli.contracts import CONTRACT, GROUPS, Loss


@pytest.fixture(params=sorted(entry_points(group=GROUPS["loss"]).names))
def loss(request: pytest.FixtureRequest) -> Loss:
    (found,) = entry_points(group=GROUPS["loss"], name=request.param)
    component = found.load()()
    assert isinstance(component, Loss)
    return component


@pytest.fixture
def logits() -> tuple[Tensor, Tensor]:
    """Logits of 5 real and 3 generated images, near 0."""
    torch.manual_seed(0)
    return 0.1 * torch.randn(5), 0.1 * torch.randn(3)


def test_is_documented(loss: Loss) -> None:
    assert loss.contract == CONTRACT
    assert type(loss).__doc__
    assert all(field.description for field in type(loss).model_fields.values())


def test_losses_are_finite_scalars(loss: Loss, logits: tuple[Tensor, Tensor]) -> None:
    for value in (loss.discriminator(*logits), loss.generator(logits[1])):
        assert value.shape == ()
        assert value.isfinite()


def test_losses_are_means_over_the_batch(loss: Loss, logits: tuple[Tensor, Tensor]) -> None:
    real, fake = logits
    torch.testing.assert_close(loss.discriminator(real.repeat(2), fake), loss.discriminator(real, fake))
    torch.testing.assert_close(loss.discriminator(real, fake.repeat(2)), loss.discriminator(real, fake))
    torch.testing.assert_close(loss.generator(fake.repeat(2)), loss.generator(fake))


def test_the_networks_pull_the_logits_apart(loss: Loss, logits: tuple[Tensor, Tensor]) -> None:
    real, fake = (part.requires_grad_() for part in logits)
    on_real, on_fake = torch.autograd.grad(loss.discriminator(real, fake), [real, fake])
    (for_generator,) = torch.autograd.grad(loss.generator(fake), fake)
    # Near 0, gradient descent on D's loss raises every real logit and lowers every fake one; on G's it raises these.
    assert (on_real < 0).all()
    assert (on_fake > 0).all()
    assert (for_generator < 0).all()


def test_penalty_is_a_finite_scalar_where_there_is_one(loss: Loss) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 4, 3, 8, 8).unbind()
    weight = torch.randn(3, 8, 8, requires_grad=True)
    penalty = loss.penalty(lambda images: (images * weight).sum((1, 2, 3)), real, fake)
    if penalty is not None:
        assert penalty.shape == ()
        assert penalty.isfinite()

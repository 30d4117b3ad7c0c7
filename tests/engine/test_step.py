"""The training step against the algorithm, update by update."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import pytest
import torch

from sngan_cli.contracts import Judge, Loss
from sngan_cli.engine import step as step_module
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan, constraints
from sngan_cli.engine.step import average, blind_loss, iteration, judge, update_generator

CPU = torch.device("cpu")


def build(composition: Any, data: Any, classes: int | None = None) -> tuple[Gan, ImageStream]:
    gan = Gan.build(composition, classes, World(CPU))
    return gan, ImageStream(data.images, data.labels, device=CPU, seed=0, flip=False, dequantize=False)


def test_d_is_updated_n_dis_times_on_fresh_real_and_generated_images(
    tiny: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    composition = tiny(n_dis=3)
    gan, real = build(composition, data)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    shown_to_g: list[int] = []
    original, update_g = step_module.update_discriminator, step_module.update_generator

    def spy(gan: Gan, x: Any, y: Any, fake: Any, fake_y: Any) -> Any:
        seen.append((x.clone(), fake.clone()))
        return original(gan, x, y, fake, fake_y)

    def spy_g(gan: Gan, images: int) -> Any:
        shown_to_g.append(images)
        return update_g(gan, images)

    monkeypatch.setattr(step_module, "update_discriminator", spy)
    monkeypatch.setattr(step_module, "update_generator", spy_g)
    iteration(gan, real, composition.config)
    assert shown_to_g == [6]
    assert [(len(x), len(fake)) for x, fake in seen] == [(4, 4)] * 3
    assert real.drawn == 3 * 4
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not torch.equal(seen[one][0], seen[other][0])
        assert not torch.equal(seen[one][1], seen[other][1])


def test_the_article_trains_g_first_and_shows_its_batch_to_every_d_update(
    tiny: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    composition = tiny(n_dis=3, fakes="reused", conditional=True)
    gan, real = build(composition, data, classes=3)
    order: list[str] = []
    fakes: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    update_d, update_g = step_module.update_discriminator, step_module.update_generator

    def spy_d(gan: Gan, x: Any, y: Any, fake: Any, fake_y: Any) -> Any:
        order.append("D")
        fakes.append(fake)
        labels.append(fake_y)
        return update_d(gan, x, y, fake, fake_y)

    def spy_g(gan: Gan, images: int) -> Any:
        order.append("G")
        made = update_g(gan, images)
        fakes.append(made[1])
        labels.append(made[2])
        return made

    monkeypatch.setattr(step_module, "update_discriminator", spy_d)
    monkeypatch.setattr(step_module, "update_generator", spy_g)
    iteration(gan, real, composition.config)
    assert order == ["G", "D", "D", "D"]
    assert [len(fake) for fake in fakes] == [len(label) for label in labels] == [6, 4, 4, 4]
    assert all(torch.equal(fake, fakes[0][:4]) for fake in fakes[1:])
    assert all(torch.equal(label, labels[0][:4]) for label in labels[1:])


@pytest.mark.parametrize("fakes", ["fresh", "reused"])
@pytest.mark.parametrize(("norm_g", "g_advances"), [("batch", 0), ("spectral", 1)])
def test_constraints_advance_once_an_update_of_their_network(
    tiny: Any, data: Any, monkeypatch: pytest.MonkeyPatch, norm_g: str, g_advances: int, fakes: str
) -> None:
    composition = tiny(n_dis=3, norm_g=norm_g, ema=0.0, fakes=fakes)
    gan, real = build(composition, data)
    advanced: list[object] = []
    for network in (gan.generator, gan.discriminator):
        for constraint in constraints(network):
            original = constraint.advance
            monkeypatch.setattr(
                constraint, "advance", lambda original=original, c=constraint: (advanced.append(c), original())
            )
    iteration(gan, real, composition.config)
    of_d, of_g = list(constraints(gan.discriminator)), list(constraints(gan.generator))
    assert len(of_d) > 0
    assert all(sum(seen is c for seen in advanced) == 3 for c in of_d)
    assert all(sum(seen is c for seen in advanced) == 1 for c in of_g)
    assert bool(of_g) == bool(g_advances)


def test_training_g_changes_nothing_in_d(tiny: Any, data: Any) -> None:
    gan, _ = build(tiny(), data)
    before = copy.deepcopy(gan.discriminator.state_dict())
    update_generator(gan, 6)
    assert all(torch.equal(before[key], value) for key, value in gan.discriminator.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in gan.discriminator.parameters())


def test_each_network_has_a_learning_rate_of_its_own(tiny: Any, data: Any) -> None:
    composition = tiny(lr_g=1e-4, lr_d=3e-4, lr_decay="linear")
    gan, _ = build(composition, data)
    for step, of_g, of_d in ((1, 1e-4, 3e-4), (5, 5e-5, 1.5e-4)):
        gan.schedule(composition.config, step)
        assert [float(group["lr"]) for group in gan.optimizer_g.param_groups] == pytest.approx([of_g])
        assert [float(group["lr"]) for group in gan.optimizer_d.param_groups] == pytest.approx([of_d])


def test_images_of_every_class_are_drawn_in_training_as_often(tiny: Any, data: Any) -> None:
    gan, _ = build(tiny(conditional=True), data, classes=3)
    _, y = gan.latents(3000)
    assert y is not None
    assert torch.bincount(y).tolist() == [pytest.approx(1000, abs=104)] * 3  # four standard deviations


def test_one_pass_over_both_kinds_of_image_equals_two(tiny: Any, data: Any) -> None:
    gan, real = build(tiny(conditional=True), data, classes=3)
    assert not gan.separate
    x, y = real.next(4, gan.random)
    fake, fake_y = step_module.draw(gan, 4)
    together = judge(gan, x, y, fake, fake_y)
    gan.separate = True
    apart = judge(gan, x, y, fake, fake_y)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_batch_norm_in_d_keeps_real_and_generated_images_apart(tiny: Any, data: Any) -> None:
    gan, _ = build(tiny(norm="batch"), data)
    assert gan.separate
    gan, _ = build(tiny(norm="layer"), data)
    assert not gan.separate


def test_the_average_follows_its_definition_in_float64() -> None:
    generator = torch.nn.Linear(3, 2).double()
    averaged = copy.deepcopy(generator)
    expected = generator.weight.detach().clone()
    for step in range(1, 40):
        with torch.no_grad():
            generator.weight.add_(torch.full_like(generator.weight, 0.1 * step))
        decay = min(0.9, (1 + step) / (10 + step))
        average(averaged, generator, torch.tensor(1 - decay, dtype=torch.float64))
        expected = decay * expected + (1 - decay) * generator.weight.detach()
    torch.testing.assert_close(averaged.weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_an_iteration_moves_the_average_by_the_weight_of_its_step(tiny: Any, data: Any) -> None:
    composition = tiny(ema=0.9, n_dis=3, norm_g="batch")
    gan, real = build(composition, data)
    assert gan.averaged is not None
    before = copy.deepcopy(gan.averaged.state_dict())
    iteration(gan, real, composition.config)
    found, now = gan.averaged.state_dict(), gan.generator.state_dict()
    assert not torch.equal(now["to_rgb.weight"], before["to_rgb.weight"])
    counted = [name for name, tensor in now.items() if not tensor.is_floating_point()]
    assert counted
    assert all(found[name] == now[name] == 3 + 1 for name in counted)  # batches, of D's updates and of G's
    for name in found.keys() - counted:  # the decay of the first step is (1 + 1) / (10 + 1)
        torch.testing.assert_close(found[name], 2 / 11 * before[name] + 9 / 11 * now[name])


def test_an_averaged_spectral_norm_keeps_singular_vectors_of_unit_length(tiny: Any, data: Any) -> None:
    composition = tiny(norm_g="spectral", ema=0.99)
    gan, real = build(composition, data)
    for _ in range(3):
        iteration(gan, real, composition.config)
    assert gan.averaged is not None
    vectors = [b for name, b in gan.averaged.named_buffers() if name.rsplit(".", 1)[-1] in ("u", "v")]
    assert vectors
    for vector in vectors:
        assert vector.norm().item() == pytest.approx(1, abs=1e-5)


def test_a_penalty_is_told_real_and_generated_images_and_added_to_the_loss_of_d(tiny: Any, data: Any) -> None:
    composition = tiny(n_dis=1)
    gan, real = build(composition, data)
    called: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Penalised(type(composition.loss), contract=1):  # type: ignore[misc]
        def penalty(self, discriminator: Any, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
            called.append((real, fake))
            return 0 * discriminator(fake).sum() + 7 * sum(p.sum() for p in gan.discriminator.parameters())

    gan.loss = Penalised()
    x, y = real.next(4, gan.random)
    fake, fake_y = step_module.draw(gan, 4)
    step_module.update_discriminator(gan, x, y, fake, fake_y)
    ((told_real, told_fake),) = called
    assert torch.equal(told_real, x)
    assert torch.equal(told_fake, fake)
    bias = [p for p in gan.discriminator.parameters() if p.dim() == 1]
    assert all(p.grad is not None and p.grad.abs().min() > 0 for p in bias)


def test_the_images_are_trained_on_in_bf16(tiny: Any, data: Any) -> None:
    composition = tiny(precision="bf16", steps=2)
    gan, real = build(composition, data)
    losses = iteration(gan, real, composition.config)
    assert losses.discriminator.dtype == torch.float32
    assert torch.isfinite(losses.discriminator)
    assert all(p.dtype == torch.float32 for p in gan.generator.parameters())


@pytest.mark.parametrize(("loss", "value"), [("hinge", 2.0), ("cross-entropy", 2 * math.log(2))])
def test_the_loss_of_a_d_that_tells_nothing_apart(tiny: Any, loss: str, value: float) -> None:
    assert blind_loss(tiny(loss=loss).loss) == pytest.approx(value)


class LeastSquares(Loss, contract=1):
    """Mao et al., 2017: D is blind where it says 1/2 of everything. Its penalty asks D under both kinds of labels."""

    asked: ClassVar[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def discriminator(self, real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
        return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2

    def generator(self, fake_logits: torch.Tensor) -> torch.Tensor:
        return (fake_logits - 1).square().mean() / 2

    def penalty(self, discriminator: Judge, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        self.asked.append((discriminator(fake), discriminator(fake, of="fake")))
        return discriminator(real).square().mean() + 3


def test_the_loss_of_a_blind_d_is_the_least_of_equal_logits() -> None:
    assert blind_loss(LeastSquares()) == 0.25


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_penalty_is_told_and_judges_under_the_labels_that_it_asks_for(tiny: Any, data: Any, precision: str) -> None:
    composition = tiny(conditional=True, n_dis=1, precision=precision)
    gan, real = build(composition, data, classes=3)
    gan.loss = LeastSquares()
    LeastSquares.asked.clear()
    losses = iteration(gan, real, composition.config)
    assert losses.penalty is not None
    assert losses.penalty > 3
    assert not losses.penalty.requires_grad
    ((as_real, as_fake),) = LeastSquares.asked
    assert as_real.dtype == as_fake.dtype == torch.float32
    assert not torch.equal(as_real, as_fake)

"""What an architecture promises of its networks, built with the normalisations of sngan and of its own package.

Networks are as small as their sides allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu, put
from sngan_cli.conformance.passes import (
    depends_on_the_batch,
    learned,
    pass_in_bf16,
    perturb,
    running_statistics,
    seeded,
)
from sngan_cli.conformance.promises import Bench, Promise, UncheckedError, about, expect, expect_equal
from sngan_cli.contracts import Architecture, NetworkShape, Normalization
from sngan_cli.engine.gan import latent_dim, uses_batch_statistics

IMAGES, CLASSES = 4, 3
OWN_CHOICE = Normalization()
"""Constrains nothing, and leaves features to the architecture."""


@dataclass(frozen=True)
class Case:
    """One kind of network of an architecture, conditional or not."""

    architecture: Architecture
    kind: Literal["generator", "discriminator"]
    classes: int | None

    @property
    def sides(self) -> Sequence[int]:
        """Sides in pixels that it has, none where there is no such network."""
        generator = self.kind == "generator"
        return self.architecture.generator_sides if generator else self.architecture.discriminator_sides

    def build(self, norm: Normalization, seed: int = 0, side: int | None = None) -> nn.Module:
        """Build the network of a side, by default the smallest."""
        torch.manual_seed(seed)
        shape = NetworkShape(side or min(self.sides), self.classes)
        if self.kind == "generator":
            return self.architecture.generator(shape, norm)
        return self.architecture.discriminator(shape, norm)

    def inputs(self, network: nn.Module, side: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Latents or images, and labels where the network is conditional."""
        torch.manual_seed(1)
        y = None if self.classes is None else torch.arange(IMAGES) % self.classes
        if self.kind == "generator":
            return torch.randn(IMAGES, latent_dim(network)), y
        side = side or min(self.sides)
        return torch.rand(IMAGES, 3, side, side) * 2 - 1, y

    def output_shape(self, side: int | None = None) -> tuple[int, ...]:
        """Of images or logits."""
        side = side or min(self.sides)
        return (IMAGES, 3, side, side) if self.kind == "generator" else (IMAGES,)

    def __str__(self) -> str:
        """Name it in a message."""
        return f"the {'unconditional' if self.classes is None else 'conditional'} {self.kind}"


def offers_a_network(architecture: Architecture, bench: Bench) -> None:
    """Raise where there is neither a generator nor a discriminator."""
    sides = (*architecture.generator_sides, *architecture.discriminator_sides)
    expect(sides, "neither generator_sides nor discriminator_sides has a side")


def gives_images_and_logits(case: Case, norm: Normalization) -> None:
    """Raise where a network gives other shapes, or images outside [-1, 1], in training or evaluation mode."""
    network = case.build(norm)
    for mode in (True, False):
        output = network.train(mode)(*case.inputs(network))
        where = "" if mode else " in evaluation mode"
        expect(output.shape == case.output_shape(), f"it gives {tuple(output.shape)}, not {case.output_shape()}{where}")
        expect(output.isfinite().all(), f"what it gives is not finite{where}")
        if case.kind == "generator":
            expect(output.abs().max() <= 1, f"images reach {output.abs().max():.3g}, outside [-1, 1]{where}")


def has_every_side(case: Case) -> None:
    """Raise where a network cannot be built for a side that is announced. Shapes alone, where it reads no values."""
    for side in case.sides:
        with about(f"{side} px"):
            try:
                with torch.device("meta"):
                    shape = _shape_given(case, side)
            except Exception:  # it may read a constant, which has a value on a real device alone
                shape = _shape_given(case, side)
            expect(shape == case.output_shape(side), f"it gives {tuple(shape)}")


def passes_gradients_on(case: Case, norm: Normalization) -> None:
    """Raise where a parameter has no finite gradient."""
    network = case.build(norm)
    network(*case.inputs(network)).square().sum().backward()
    idle = [name for name, p in learned(network) if p.grad is None or not p.grad.isfinite().all()]
    expect(not idle, f"no finite gradient reaches {', '.join(idle)}")


def lets_every_weight_learn(case: Case) -> None:
    """Raise where a weight's gradient is 0. (A bias's is where a batch norm follows.)"""
    network = case.build(OWN_CHOICE)
    perturb(network)
    network(*case.inputs(network)).square().sum().backward()
    idle = [name for name, p in learned(network) if p.ndim > 1 and (p.grad is None or not p.grad.any())]
    expect(not idle, f"the gradient of {', '.join(idle)} is 0")


def looks_at_labels_where_conditional(case: Case) -> None:
    """Raise where labels change nothing of a conditional network, or something of another."""
    network = case.build(OWN_CHOICE)
    perturb(network)
    x, y = case.inputs(network)
    others = torch.arange(IMAGES) if y is None else (y + 1) % CLASSES
    one, other = (seeded(deepcopy(network), x, labels) for labels in (y, others))
    if y is None:
        expect(torch.equal(one, other), "labels change what it gives")
    else:
        expect(not torch.allclose(one, other), "labels do not change what it gives")


def judges_each_image_by_itself(case: Case) -> None:
    """Raise where a logit depends on the other images, and D does not say so: they may be real and generated ones."""
    network = case.build(OWN_CHOICE)
    if case.kind == "generator" or uses_batch_statistics(network):
        return
    perturb(network)
    expect(
        not depends_on_the_batch(network, *case.inputs(network)),
        "its logits depend on the other images of the batch: set batch_statistics = True on the module that looks at "
        "them, and real and generated images are judged apart",
    )


def changes_running_statistics_alone(case: Case, norm: Normalization) -> None:
    """Raise where a pass in training mode changes a state: only the engine advances a weight constraint's."""
    network = case.build(norm).train()
    perturb(network)  # what follows a weight has nowhere to go from one that it has reached
    before = deepcopy(network.state_dict())
    network(*case.inputs(network)).sum().backward()
    exempt = running_statistics(network)
    after = network.state_dict()
    changed = [name for name in after if name not in exempt and not torch.equal(after[name], before[name])]
    expect(
        not changed,
        f"{', '.join(changed)} is changed: what follows a weight does so in a method `advance`, and a module that "
        "keeps running statistics sets batch_statistics = True",
    )


def evaluation_changes_nothing(case: Case, norm: Normalization) -> None:
    """Raise where a pass in evaluation mode changes a state."""
    network = case.build(norm).eval()
    before = deepcopy(network.state_dict())
    network(*case.inputs(network))
    expect_equal(network.state_dict(), before)


def is_built_from_the_seed(case: Case, norm: Normalization) -> None:
    """Raise where torch's seed does not decide on the first weights."""
    expect_equal(case.build(norm).state_dict(), case.build(norm).state_dict())


def is_copied_and_restored_whole(case: Case, norm: Normalization) -> None:
    """Raise where a copy, or a network with the same state dict, gives something else."""
    network, restored = case.build(norm), case.build(norm, seed=2)
    x, y = case.inputs(network)
    network(x, y)  # moves batch statistics, where there are any
    copy = deepcopy(network)
    restored.load_state_dict(network.state_dict())
    expected, of_copy, of_restored = (seeded(each.eval(), x, y) for each in (network, copy, restored))
    expect(torch.equal(of_copy, expected), "a copy gives something else")
    expect(torch.equal(of_restored, expected), "restored from its state dict, it gives something else")


def takes_any_memory_format(case: Case, norm: Normalization) -> None:
    """Raise where channels-last gives something else."""
    network = case.build(norm).eval()
    x, y = case.inputs(network)
    expected = seeded(network, x, y)
    draws = not torch.equal(network(x, y), expected)
    network.to(memory_format=torch.channels_last)
    if x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    found = seeded(network, x, y)
    if draws and found.shape == expected.shape and not torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
        raise UncheckedError(
            "it draws random numbers in the order of memory, so that no two passes compare: torch.randn of a shape, "
            "unlike randn_like, draws the same in any"
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def runs_in_bf16(case: Case, norm: Normalization) -> None:
    """Raise where autocast to bfloat16 breaks a pass, or gradients are not in float32."""
    network = case.build(norm)
    output = pass_in_bf16(network, *case.inputs(network))
    expect(output.shape == case.output_shape(), f"it gives {tuple(output.shape)}, not {case.output_shape()}")


def stays_on_a_gpu(case: Case) -> None:
    """Raise where a network on a GPU needs a tensor elsewhere. Shapes and devices alone, without arithmetic."""
    network = case.build(OWN_CHOICE)
    x, y = case.inputs(network)
    with absent_gpu():
        put(network)
        labels = None if y is None else torch.zeros_like(y, device=GPU)
        output = network(torch.zeros_like(x, device=GPU), labels)
        expect(output.device == GPU, f"what it gives is on the device {str(output.device)!r}")


def _shape_given(case: Case, side: int) -> torch.Size:
    network = case.build(OWN_CHOICE, side=side)
    with torch.no_grad():
        output: Tensor = network(*case.inputs(network, side))
    return output.shape


def _of_each_case(try_: Callable[[Case], None]) -> Callable[[Architecture, Bench], None]:
    def every(architecture: Architecture, bench: Bench) -> None:
        for case in _cases(architecture):
            with about(str(case)):
                try_(case)

    return every


def _with_each_norm(try_: Callable[[Case, Normalization], None]) -> Callable[[Architecture, Bench], None]:
    def every(architecture: Architecture, bench: Bench) -> None:
        for case in _cases(architecture):
            for name, norm in bench.normalizations.items():
                with about(f"{case} with the normalization {name!r}"):
                    try_(case, norm)

    return every


def _cases(architecture: Architecture) -> Iterator[Case]:
    kinds: tuple[Literal["generator", "discriminator"], ...] = ("generator", "discriminator")
    cases = (Case(architecture, kind, classes) for kind in kinds for classes in (None, CLASSES))
    return (case for case in cases if case.sides)


PROMISES = (
    Promise("there is a generator or a discriminator", offers_a_network),
    Promise("networks give images in [-1, 1] and logits", _with_each_norm(gives_images_and_logits)),
    Promise("networks are built for every side that is announced", _of_each_case(has_every_side)),
    Promise("gradients reach every parameter", _with_each_norm(passes_gradients_on)),
    Promise("every weight learns", _of_each_case(lets_every_weight_learn)),
    Promise("labels matter where it is conditional, and only there", _of_each_case(looks_at_labels_where_conditional)),
    Promise("a logit is of its image alone, unless D says otherwise", _of_each_case(judges_each_image_by_itself)),
    Promise("a pass changes running statistics alone", _with_each_norm(changes_running_statistics_alone)),
    Promise("in evaluation no state changes", _with_each_norm(evaluation_changes_nothing)),
    Promise("torch's seed decides on the first weights", _with_each_norm(is_built_from_the_seed)),
    Promise("a copy and a restored network are the same", _with_each_norm(is_copied_and_restored_whole)),
    Promise("channels-last gives the same", _with_each_norm(takes_any_memory_format)),
    Promise("bfloat16 gives gradients in float32", _with_each_norm(runs_in_bf16)),
    Promise("on a GPU, all of a network is there", _of_each_case(stays_on_a_gpu)),
)

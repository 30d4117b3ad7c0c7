"""What every installed architecture builds with every installed normalization, third parties' too.

Networks are as small as their sides allow, and narrow where there is an option `width`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from sngan_cli.contracts import CONTRACT, GROUPS, Architecture, NetworkShape, Normalization, WeightConstraint

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
        generator = self.kind == "generator"
        return self.architecture.generator_sides if generator else self.architecture.discriminator_sides

    @property
    def side(self) -> int:
        return min(self.sides)

    def build(self, norm: Normalization, seed: int = 0, side: int | None = None) -> nn.Module:
        torch.manual_seed(seed)
        build = getattr(self.architecture, self.kind)
        network: nn.Module = build(NetworkShape(side or self.side, self.classes), norm)
        return network

    def inputs(self, network: nn.Module, images: int = IMAGES) -> tuple[Tensor, Tensor | None]:
        """Latents or pictures, and labels where the network is conditional."""
        torch.manual_seed(1)
        y = None if self.classes is None else torch.arange(images) % self.classes
        if self.kind == "generator":
            return torch.randn(images, int(network.latent_dim)), y
        return torch.rand(images, 3, self.side, self.side) * 2 - 1, y

    def output_shape(self, images: int, side: int) -> tuple[int, ...]:
        return (images, 3, side, side) if self.kind == "generator" else (images,)


def component(group: str, name: str) -> Any:
    (found,) = entry_points(group=GROUPS[group], name=name)
    cls = found.load()
    return cls(width=0.06) if "width" in cls.model_fields else cls()


@pytest.fixture(params=sorted(entry_points(group=GROUPS["architecture"]).names))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    found = component("architecture", request.param)
    assert isinstance(found, Architecture)
    return found


@pytest.fixture(params=sorted(entry_points(group=GROUPS["normalization"]).names))
def norm(request: pytest.FixtureRequest) -> Normalization:
    found = component("normalization", request.param)
    assert isinstance(found, Normalization)
    return found


@pytest.fixture(params=["generator", "discriminator"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[None, CLASSES], ids=["unconditional", "conditional"])
def case(request: pytest.FixtureRequest, architecture: Architecture, kind: Any) -> Case:
    case = Case(architecture, kind, request.param)
    if not case.sides:
        pytest.skip(f"offers no {kind}")
    return case


def test_is_documented(architecture: Architecture) -> None:
    assert architecture.contract == CONTRACT
    assert type(architecture).__doc__
    assert all(field.description for field in type(architecture).model_fields.values())
    assert architecture.generator_sides or architecture.discriminator_sides


def test_output(case: Case, norm: Normalization) -> None:
    network = case.build(norm)
    output = network(*case.inputs(network))
    assert output.shape == case.output_shape(IMAGES, case.side)
    assert output.isfinite().all()
    if case.kind == "generator":
        assert output.abs().max() <= 1


def test_every_side(case: Case) -> None:
    """Shapes alone, without arithmetic."""
    with torch.device("meta"):
        for side in case.sides:
            network = case.build(OWN_CHOICE, side=side)
            y = None if case.classes is None else torch.zeros(2, dtype=torch.int64)
            latent = case.kind == "generator"
            x = torch.zeros(2, int(network.latent_dim)) if latent else torch.zeros(2, 3, side, side)
            assert network(x, y).shape == case.output_shape(2, side)


def test_gradients_reach_every_parameter(case: Case, norm: Normalization) -> None:
    network = case.build(norm)
    network(*case.inputs(network)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_every_weight_learns(case: Case) -> None:
    # A bias does not where a batch norm follows, nor need any layer where instance norm sees a single pixel.
    network = case.build(OWN_CHOICE)
    network(*case.inputs(network)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.ndim > 1 and (p.grad is None or not p.grad.any())]
    assert idle == []


def test_labels_matter_where_conditional_alone(case: Case) -> None:
    network = case.build(OWN_CHOICE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x, y = case.inputs(network)
    if y is None:
        assert torch.equal(network(x, None), network(x, torch.arange(IMAGES)))
    else:
        assert not torch.allclose(network(x, y), network(x, (y + 1) % CLASSES))


def test_forward_leaves_constraints_alone(case: Case, norm: Normalization) -> None:
    network = case.build(norm)
    held = [m for m in network.modules() if isinstance(m, WeightConstraint) and isinstance(m, nn.Module)]
    before = deepcopy([module.state_dict() for module in held])
    network.train()(*case.inputs(network)).sum().backward()
    torch.testing.assert_close([module.state_dict() for module in held], before, rtol=0, atol=0)


def test_scoring_changes_nothing(case: Case, norm: Normalization) -> None:
    network = case.build(norm).eval()
    before = deepcopy(network.state_dict())
    network(*case.inputs(network))
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_seed_builds_the_same_network(case: Case, norm: Normalization) -> None:
    torch.testing.assert_close(case.build(norm).state_dict(), case.build(norm).state_dict(), rtol=0, atol=0)


def test_a_copy_and_a_restored_network_are_the_same(case: Case, norm: Normalization) -> None:
    network, restored = case.build(norm), case.build(norm, seed=2)
    x, y = case.inputs(network)
    network(x, y)  # moves batch statistics, where there are any
    copy = deepcopy(network)
    restored.load_state_dict(network.state_dict())
    expected = network.eval()(x, y)
    assert torch.equal(copy.eval()(x, y), expected)
    assert torch.equal(restored.eval()(x, y), expected)
    assert sum(p.numel() for p in copy.parameters()) == sum(p.numel() for p in network.parameters())


def test_memory_format_does_not_matter(case: Case, norm: Normalization) -> None:
    network = case.build(norm).eval()
    x, y = case.inputs(network)
    expected = network(x, y)
    network.to(memory_format=torch.channels_last)
    if x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x, y), expected, rtol=1e-4, atol=1e-4)


def test_runs_under_autocast(case: Case, norm: Normalization) -> None:
    network = case.build(norm)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*case.inputs(network))
    assert output.shape == case.output_shape(IMAGES, case.side)
    assert output.isfinite().all()
    output.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())

"""What every installed normalization does to every kind of layer, a third party's too."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from importlib.metadata import entry_points

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sngan_cli.contracts import CONTRACT, GROUPS, Normalization, WeightConstraint

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(3, 5, 3),
    "deconv": lambda: nn.ConvTranspose2d(3, 5, 4, 2),
    "linear": lambda: nn.Linear(4, 7),
    "embedding": lambda: nn.Embedding(4, 7),
}
INPUTS = {
    "conv": torch.ones(2, 3, 4, 4),
    "deconv": torch.ones(2, 3, 4, 4),
    "linear": torch.ones(2, 4),
    "embedding": torch.tensor([3, 0]),
}
CHANNELS, CLASSES = 4, 3


@pytest.fixture(params=sorted(entry_points(group=GROUPS["normalization"]).names))
def norm(request: pytest.FixtureRequest) -> Normalization:
    (found,) = entry_points(group=GROUPS["normalization"], name=request.param)
    component = found.load()()
    assert isinstance(component, Normalization)
    return component


@pytest.fixture(params=LAYERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def layer(norm: Normalization, kind: str) -> nn.Module:
    torch.manual_seed(0)
    return norm.constrain(LAYERS[kind]())


@pytest.fixture(params=[None, CLASSES], ids=["unconditional", "conditional"])
def features(request: pytest.FixtureRequest, norm: Normalization) -> nn.Module:
    torch.manual_seed(0)
    module = norm.features(CHANNELS, request.param)
    if module is None:
        pytest.skip("leaves features to the architecture")
    return module


def maps() -> tuple[Tensor, Tensor]:
    """Features and labels of six images."""
    torch.manual_seed(0)
    return torch.randn(6, CHANNELS, 5, 5), torch.arange(6) % CLASSES


def constraints(module: nn.Module) -> list[WeightConstraint]:
    return [part for part in module.modules() if isinstance(part, WeightConstraint)]


def test_is_documented(norm: Normalization) -> None:
    assert norm.contract == CONTRACT
    assert type(norm).__doc__
    assert all(field.description for field in type(norm).model_fields.values())


def test_a_constrained_layer_keeps_its_shapes(layer: nn.Module, kind: str) -> None:
    plain = LAYERS[kind]()
    output = layer(INPUTS[kind])
    assert layer.weight.shape == plain.weight.shape
    assert output.shape == plain(INPUTS[kind]).shape
    assert output.isfinite().all()


def test_a_constrained_layer_learns(layer: nn.Module, kind: str) -> None:
    layer(INPUTS[kind]).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_a_forward_pass_changes_nothing(layer: nn.Module, kind: str) -> None:
    before = deepcopy(layer.state_dict())
    for mode in (True, False):
        first = layer.train(mode)(INPUTS[kind])
        assert torch.equal(layer(INPUTS[kind]), first)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_advancing_leaves_the_parameters_alone(layer: nn.Module) -> None:
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    for constraint in constraints(layer):
        constraint.advance()
    assert all(torch.equal(parameter, old) for parameter, old in zip(layer.parameters(), before, strict=True))


def test_a_copy_lives_on_its_own(layer: nn.Module, kind: str) -> None:
    before, copy = deepcopy(layer.state_dict()), deepcopy(layer)
    assert torch.equal(copy(INPUTS[kind]), layer(INPUTS[kind]))
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.normal_()
    for constraint in constraints(copy):
        constraint.advance()
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)
    assert not torch.equal(copy(INPUTS[kind]), layer(INPUTS[kind]))


def test_state_dict_is_all_there_is(norm: Normalization, layer: nn.Module, kind: str) -> None:
    other = norm.constrain(LAYERS[kind]())
    assert not torch.equal(other(INPUTS[kind]), layer(INPUTS[kind]))
    other.load_state_dict(layer.state_dict())
    for module in (layer, other):
        for constraint in constraints(module):
            constraint.advance()
    assert torch.equal(other(INPUTS[kind]), layer(INPUTS[kind]))


def test_features_keep_their_shape(features: nn.Module) -> None:
    h, y = maps()
    out = features(h.requires_grad_(), y)
    assert out.shape == h.shape
    out.square().sum().backward()
    assert h.grad is not None
    assert h.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in features.parameters())


def test_features_of_unlabelled_images_need_no_labels(norm: Normalization) -> None:
    module = norm.features(CHANNELS, None)
    if module is not None:
        h, y = maps()
        torch.testing.assert_close(module(h, None), module(h, y))


def test_batch_statistics_are_declared(features: nn.Module) -> None:
    h, y = maps()
    alone = features(h[:3], y[:3])
    depends_on_the_others = not torch.allclose(features(h, y)[:3], alone, atol=1e-5)
    declared = any(isinstance(m, _BatchNorm) or getattr(m, "batch_statistics", False) for m in features.modules())
    assert declared == depends_on_the_others


def test_scoring_changes_nothing(features: nn.Module) -> None:
    h, y = maps()
    features(h, y)
    before = deepcopy(features.state_dict())
    features.eval()(h + 1, y)
    torch.testing.assert_close(features.state_dict(), before, rtol=0, atol=0)

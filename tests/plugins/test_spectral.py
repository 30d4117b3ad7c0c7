"""Spectral normalisation against singular values and against the paper's gradient, in float64."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from sngan_cli.contracts import WeightConstraint
from sngan_plugins.normalizations.spectral import Spectral, SpectralNorm

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(3, 5, 3),
    "conv3d": lambda: nn.Conv3d(3, 5, 2),
    "deconv": lambda: nn.ConvTranspose2d(3, 5, 4),
    "deconv1d": lambda: nn.ConvTranspose1d(3, 5, 4),
    "deconv3d": lambda: nn.ConvTranspose3d(3, 5, 2),
    "linear": lambda: nn.Linear(7, 4),
    "embedding": lambda: nn.Embedding(4, 7),
}
CONVERGED = Spectral(power_iterations=300)

ON_A_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[request.param]().double()


def matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """The weight as (outputs, everything else), channels last."""
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return torch.stack([of_one.flatten() for of_one in weight.unbind(1)])
    return torch.stack([of_one.movedim(0, -1).flatten() for of_one in weight.unbind(0)])


def original(layer: nn.Module) -> Tensor:
    return layer.get_parameter("parametrizations.weight.original")


def norm_of(layer: nn.Module) -> SpectralNorm:
    (norm,) = (module for module in layer.modules() if isinstance(module, WeightConstraint))
    assert isinstance(norm, SpectralNorm)
    return norm


def test_effective_weight_has_spectral_norm_1(layer: nn.Module) -> None:
    raw = layer.get_parameter("weight").detach().clone()
    CONVERGED.constrain(layer)
    norm_of(layer).advance()
    sigma = torch.linalg.svdvals(matrix(layer, raw))[0]
    torch.testing.assert_close(layer.weight, raw / sigma, rtol=1e-9, atol=1e-12)
    assert torch.linalg.svdvals(matrix(layer, layer.weight))[0].item() == pytest.approx(1, rel=1e-9)


def test_follows_a_weight_that_moves(layer: nn.Module) -> None:
    CONVERGED.constrain(layer)
    with torch.no_grad():
        original(layer).normal_()
    norm_of(layer).advance()
    assert torch.linalg.svdvals(matrix(layer, layer.weight))[0].item() == pytest.approx(1, rel=1e-9)


def test_first_sigma_is_near_the_true_one() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3)
    Spectral().constrain(conv)
    assert torch.linalg.svdvals(conv.weight.flatten(1))[0].item() == pytest.approx(1, rel=0.03)


def test_one_power_iteration_by_hand() -> None:
    linear = nn.Linear(2, 2, bias=False)
    Spectral().constrain(linear)
    norm = norm_of(linear)
    with torch.no_grad():
        original(linear).copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        norm.u.copy_(torch.tensor([0.6, 0.8]))
    norm.advance()
    # v ~ W^T u = (1.2, 0.8) ~ (3, 2);  u ~ W v ~ (6, 2) ~ (3, 1);  sigma = u^T W v = (3 * 6 + 1 * 2) / sqrt(10 * 13)
    torch.testing.assert_close(norm.v, torch.tensor([3.0, 2.0]) / 13**0.5)
    torch.testing.assert_close(norm.u, torch.tensor([3.0, 1.0]) / 10**0.5)
    assert not norm.u.requires_grad
    torch.testing.assert_close(linear.weight, torch.tensor([[2.0, 0.0], [0.0, 1.0]]) * 130**0.5 / 20)


def test_power_iterations_is_how_many_an_advance_makes() -> None:
    torch.manual_seed(0)
    twice = Spectral(power_iterations=2).constrain(nn.Linear(5, 4))
    once = Spectral().constrain(nn.Linear(5, 4))
    once.load_state_dict(twice.state_dict())
    with torch.no_grad():
        for layer in (once, twice):
            original(layer).copy_(torch.arange(20.0).view(4, 5).cos())
    norm_of(twice).advance()
    norm_of(once).advance()
    assert not torch.equal(norm_of(once).u, norm_of(twice).u)
    norm_of(once).advance()
    assert torch.equal(norm_of(once).u, norm_of(twice).u)


def test_a_norm_that_would_never_follow_its_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"power_iterations\n  Input should be greater than or equal to 1"):
        Spectral(power_iterations=0)


def test_gradient_is_equation_12(layer: nn.Module) -> None:
    # With L = <C, W / sigma>, u and v constants: dL/dW = (C - <C, W / sigma> u v^T) / sigma.
    Spectral().constrain(layer)
    norm, raw = norm_of(layer), original(layer)
    c = torch.randn_like(raw)
    (c * layer.weight).sum().backward()
    sigma = norm.u @ matrix(layer, raw) @ norm.v
    w, c = matrix(layer, raw) / sigma, matrix(layer, c)
    assert raw.grad is not None
    expected = (c - (c * w).sum() * torch.outer(norm.u, norm.v)) / sigma
    torch.testing.assert_close(matrix(layer, raw.grad), expected, rtol=1e-10, atol=1e-12)


def test_gradient_by_finite_differences(layer: nn.Module) -> None:
    Spectral().constrain(layer)
    assert torch.autograd.gradcheck(norm_of(layer), original(layer))


def test_backward_uses_the_vectors_of_its_forward() -> None:
    torch.manual_seed(0)
    linear = Spectral().constrain(nn.Linear(5, 4))
    raw, norm = original(linear), norm_of(linear)
    (expected,) = torch.autograd.grad(linear.weight[0, 0], raw)
    output = linear.weight[0, 0]
    with torch.no_grad():
        norm.u.copy_(torch.tensor([1.0, 0, 0, 0]))
    norm.advance()
    (gradient,) = torch.autograd.grad(output, raw)
    assert torch.equal(gradient, expected)


def test_forward_leaves_the_vectors_alone(layer: nn.Module) -> None:
    Spectral().constrain(layer).train()
    before = deepcopy(layer.state_dict())
    with torch.no_grad():
        original(layer).add_(1)
        before["parametrizations.weight.original"].add_(1)
    for _ in range(3):
        layer.weight.sum().backward()
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_A_GPU)])
def test_stays_in_float32_under_autocast(device: str) -> None:
    torch.manual_seed(0)
    conv = Spectral().constrain(nn.Conv2d(3, 8, 3).to(device))
    expected = conv.weight
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(conv.weight, expected)
        assert conv(torch.randn(1, 3, 4, 4, device=device)).dtype == torch.bfloat16


def test_registers_each_tensor_once() -> None:
    linear = Spectral().constrain(nn.Linear(7, 4))
    shapes = {name: tuple(tensor.shape) for name, tensor in linear.state_dict().items()}
    assert shapes == {
        "bias": (4,),
        "parametrizations.weight.original": (4, 7),
        "parametrizations.weight.0.u": (4,),
        "parametrizations.weight.0.v": (7,),
    }
    assert sum(p.numel() for p in linear.parameters()) == 4 * 7 + 4


def test_a_copy_follows_its_own_weight() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(CONVERGED.constrain(nn.Linear(7, 4)))
    before = deepcopy(network.state_dict())
    copy = deepcopy(network)
    with torch.no_grad():
        original(copy[0]).normal_()
    norm_of(copy[0]).advance()
    assert torch.linalg.svdvals(copy[0].weight)[0].item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert not torch.equal(norm_of(copy[0]).u, norm_of(network[0]).u)


def test_state_dict_round_trip_is_exact(layer: nn.Module) -> None:
    other = deepcopy(layer)
    Spectral().constrain(layer)
    with torch.no_grad():
        other.get_parameter("weight").cos_()
    Spectral().constrain(other)
    assert not torch.equal(other.weight, layer.weight)
    other.load_state_dict(layer.state_dict())
    for module in (layer, other):
        norm_of(module).advance()
    assert torch.equal(other.weight, layer.weight)


def test_follows_its_weight_to_another_type() -> None:
    torch.manual_seed(0)
    linear = CONVERGED.constrain(nn.Linear(7, 4)).to(torch.float64)
    norm_of(linear).advance()
    assert norm_of(linear).u.dtype == torch.float64
    assert torch.linalg.svdvals(linear.weight)[0].item() == pytest.approx(1, rel=1e-9)

"""Networks made quick: folded batch norms, channels last, and compilation that may fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sngan_cli.engine.device import set_precision
from sngan_plugins.extractors import inference
from sngan_plugins.extractors.inference import OnGPU, for_inference


class Block(nn.Module):
    """A convolution and a batch norm, by the names that Inception's blocks give them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.bn(self.conv(x))
        return normalised.relu()


def blocks() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(Block(3, 8), Block(8, 4)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 2)
    return network


def test_folded_batch_norms_change_nothing() -> None:
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        expected = blocks()(x)
        made = for_inference(blocks(), "cpu")
        torch.testing.assert_close(made(x), expected, rtol=1e-6, atol=1e-6)
    assert isinstance(made, nn.Module)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert not any(parameter.requires_grad for parameter in made.parameters())
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in made.parameters() if p.dim() == 4)


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFloat-32 is allowed, which changes nothing on a CPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


@pytest.mark.usefixtures("tf32")
def test_a_network_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By dynamo, and run as it is: the code generator needs minutes, and a compiler."""
    graphs = []

    def counted(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted))
    monkeypatch.setattr(inference, "LEAST_SEEN", 100)
    network = blocks().requires_grad_(False)
    compiled = OnGPU(network)
    for images in (100, 70):  # the last batch of many comes after enough of them: it is none to compile for
        x = torch.randn(images, 3, 9, 9)
        assert torch.equal(compiled(x), network(x))
    assert not graphs
    for images in (100, 100, 70, 100, 100, 2):
        x = torch.randn(images, 3, 9, 9)
        torch.testing.assert_close(compiled(x), network(x))
    assert len(graphs) == 1


@pytest.mark.usefixtures("tf32")
def test_a_network_that_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def failing(graph: Any, _inputs: Any) -> Any:
        tried.append(graph)
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=failing))
    monkeypatch.setattr(inference, "LEAST_SEEN", 0)
    network = blocks().requires_grad_(False)
    compiled = OnGPU(network)
    x = torch.randn(64, 3, 9, 9)
    for _ in range(3):
        assert torch.equal(compiled(x), network(x))
    assert len(tried) == 1


@pytest.mark.usefixtures("tf32")
def test_where_there_is_no_compiler_at_all_the_network_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_network: nn.Module) -> Any:
        raise RuntimeError("torch.compile is not supported on this Python")

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr(inference, "LEAST_SEEN", 0)
    network = blocks().requires_grad_(False)
    x = torch.randn(64, 3, 9, 9)
    assert torch.equal(OnGPU(network)(x), network(x))


@pytest.mark.usefixtures("tf32")
def test_what_fails_uncompiled_too_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(inference, "LEAST_SEEN", 0)
    compiled = OnGPU(blocks())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="channels"):
            compiled(torch.randn(64, 4, 9, 9))


def test_channels_lie_apart_in_float32_and_side_by_side_in_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LEAST_SEEN", 0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda network: lambda x: compiled.append(x) or network(x))
    made = OnGPU(blocks().requires_grad_(False).to(memory_format=torch.channels_last))
    x = torch.randn(4, 3, 9, 9)

    def layout() -> str:
        weight = made._network[1].conv.weight  # type: ignore[union-attr]
        return {(72, 9, 3, 1): "apart", (72, 1, 24, 8): "side by side"}[weight.stride()]  # type: ignore[index, operator]

    for _ in range(3):
        exact = made(x)
        assert layout() == "apart"
    assert not compiled, "what a compiler could save there is little"
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(x).float(), exact, rtol=0.05, atol=0.05)
        assert layout() == "side by side"
        made(x)
    assert len(compiled) == 1
    torch.testing.assert_close(made(x), exact)
    assert layout() == "apart"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    made(x)
    assert layout() == "side by side"


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # a compiler's warning would be one of the ways to fail
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_is_compiled_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LEAST_SEEN", 64)
    x = torch.randn(64, 3, 9, 9)
    with torch.no_grad():
        made = for_inference(blocks(), "cuda")
        assert isinstance(made, OnGPU)
        for precision, rtol in (("fp32", 1e-4), ("tf32", 1e-2)):
            set_precision(precision, torch.device("cuda"))
            for _ in range(3):
                torch.testing.assert_close(made(x.cuda()).cpu(), blocks()(x), rtol=rtol, atol=rtol)
        set_precision("fp32", torch.device("cuda"))
    assert made._quick is not None

"""The step on a CUDA device that is not there.

Tensors of two devices may not meet, which a GPU refuses, and the host may not read what the device has, which no graph
can record. Backward passes and Adam need a real device, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.catalog import Catalog
from sngan_cli.composition import Composition
from sngan_cli.conformance.absent_gpu import GPU, absent_gpu, put
from sngan_cli.conformance.promises import BrokenPromiseError, UncheckedError
from sngan_cli.contracts import Loss
from sngan_cli.engine import step
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.device import meanwhile
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.graph import GivenBatches
from sngan_cli.engine.step import Losses, iteration

CPU = torch.device("cpu")
SIDE, CLASSES = 48, 4


def installed(role: str, kind: str, side: str) -> Iterator[dict[str, Any]]:
    """Settings that choose each installed component of a kind which has that side."""
    catalog = Catalog.installed()
    for name in catalog.names(kind):
        if SIDE in getattr(catalog.make(kind, name, {}, role), side, (SIDE,)):
            yield {role: {"name": name, "width": 0.05} if kind == "architecture" else name}


SETTINGS = [
    *installed("arch_g", "architecture", "generator_sides"),
    *installed("arch_d", "architecture", "discriminator_sides"),
    *installed("norm", "normalization", ""),
    *installed("norm_g", "normalization", ""),
    *installed("loss", "loss", ""),
    {"fakes": "reused", "g_batch_size": 8},
    {"flip": True, "dequantize": False},
    {"n_dis": 1, "ema": 0},
]


@pytest.fixture(autouse=True)
def _forward_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "backward", lambda loss: None)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda adam: None)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(step, "meanwhile", lambda device, work: meanwhile(CPU, work))  # there are no streams


def stepped(
    composition: Composition, *, conditional: bool, given: bool, loss: Loss | None = None
) -> tuple[Losses, set[torch.dtype]]:
    """One iteration on pictures that are read as it goes, or beforehand as for a graph; and what images came as."""
    gan = Gan.build(composition, CLASSES if conditional else None, World(CPU))
    drawn: set[torch.dtype] = set()
    gan.generator.register_forward_hook(lambda network, inputs, images: drawn.add(images.dtype))
    gan.loss = loss or gan.loss
    pictures, labels = np.zeros((10, SIDE, SIDE, 3), dtype=np.uint8), np.zeros(10, dtype=np.int64)
    config = composition.config
    with absent_gpu():
        put(*(network for network in (gan.generator, gan.discriminator, gan.averaged) if network is not None))
        gan.averaging, gan.world = torch.zeros((), device=GPU), World(GPU)
        stream = ImageStream(
            pictures, labels, device=GPU, seed=0, flip=config.flip, dequantize=config.dequantize, budget=10**9
        )
        batches = GivenBatches(stream, config) if given else stream
        if isinstance(batches, GivenBatches):
            batches.fill()
        return iteration(gan, batches, config), drawn


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_of_a_step_is_on_the_device_and_the_host_reads_none_of_it(
    tiny: Callable[..., Composition], settings: dict[str, Any], precision: str
) -> None:
    conditional = precision == "bf16"
    composition = tiny(**{"size": SIDE, "precision": precision, "conditional": conditional, "ema": 0.9, **settings})
    losses, drawn = stepped(composition, conditional=conditional, given=not conditional)
    assert (losses.discriminator.device, losses.generator.device) == (GPU, GPU)
    assert drawn == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert (losses.discriminator.dtype, losses.generator.dtype) == (torch.float32, torch.float32)


def test_a_loss_that_the_host_reads_is_noticed(tiny: Callable[..., Composition]) -> None:
    composition = tiny(size=SIDE)

    class Peeking(type(composition.loss), contract=1):  # type: ignore[misc]
        def generator(self, fake_logits: Tensor) -> Tensor:
            return super().generator(fake_logits) * fake_logits.mean().item()  # type: ignore[no-any-return]

    with pytest.raises(UncheckedError, match=r"the host reads a tensor's value"):
        stepped(composition, conditional=False, given=False, loss=Peeking())


def test_a_tensor_of_another_device_is_noticed(tiny: Callable[..., Composition]) -> None:
    composition = tiny(size=SIDE)

    class Elsewhere(type(composition.loss), contract=1):  # type: ignore[misc]
        def generator(self, fake_logits: Tensor) -> Tensor:
            return super().generator(fake_logits + torch.ones(len(fake_logits)))  # type: ignore[no-any-return]

    with pytest.raises(BrokenPromiseError, match=r"keeps others on the CPU \(.*devices,? cuda:0.*cpu"):
        stepped(composition, conditional=False, given=False, loss=Elsewhere())


@pytest.mark.parametrize(
    "meet",
    [
        lambda x: x * torch.ones(4),
        lambda x: torch.cat([x, torch.ones(2, 4)]),
        lambda x: F.linear(x, torch.ones(3, 4)),
        pytest.param(
            lambda x: F.conv2d(x[..., None, None], torch.ones(3, 4, 1, 1)),
            marks=pytest.mark.skipif(
                torch.__version__ < (2, 14),  # type: ignore[operator]
                reason="fake convolutions of earlier versions look at no kernel's device",
            ),
        ),
        lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)),
        lambda x: torch.where(torch.ones(4) > 0, x, 0.0),
        lambda x: x.index_select(1, torch.arange(2)),
    ],
)
def test_whatever_meets_a_tensor_of_another_device_is_broken(meet: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(BrokenPromiseError, match=r"keeps others on the CPU"), absent_gpu():
        meet(torch.zeros(2, 4, device=GPU))


class Following(nn.Module):
    """Holds a weight in a list, and moves a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.tied = self.layer
        self._followed, self._own = [self.layer.weight], torch.ones(4)

    def _apply(self, fn: Any, recurse: bool = True) -> nn.Module:
        self._own = fn(self._own)
        return super()._apply(fn, recurse)

    def forward(self, x: Tensor) -> Tensor:
        assert self.tied is self.layer
        assert self._followed[0] is self.layer.weight
        return F.linear(x * self._own, self._followed[0])


def test_what_follows_a_network_to_a_device_is_put_there_with_it() -> None:
    network, recurrent = Following(), nn.LSTM(4, 4)
    with absent_gpu():
        put(network, recurrent)
        assert network(torch.zeros(2, 4, device=GPU)).device == GPU
    assert {weight.device for weight in (*recurrent._flat_weights, *recurrent.parameters())} == {GPU}

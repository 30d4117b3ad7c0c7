"""What one process of `test_distributed` does, alone or one of torchrun's: world.py FOLDER VARIANT...

Trains every variant, in one go and resumed, and leaves its tensors in FOLDER as VARIANT.RANK.safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sngan_cli.catalog import Catalog
from sngan_cli.composition import Composition, compose
from sngan_cli.config import Layer, recipe
from sngan_cli.contracts import Architecture, Loss, NetworkShape, Normalization
from sngan_cli.engine import checkpoint
from sngan_cli.engine.distributed import World
from sngan_cli.engine.loop import Training
from sngan_cli.engine.processes import Order, following, follows, given_size, leading

IN_FLOAT32: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16", "conditional": True, "arch": "resnet-preact"},
    "dropout": {"conditional": True, "arch": "resnet-preact"},
    "unseeded weights": {},
    "unsynced": {"sync_batch_norm": False, "norm": "batch"},
}
IN_FLOAT64: dict[str, dict[str, Any]] = {
    "paper": {},
    "conditional": {"conditional": True, "flip": True, "ema": 0.9},
    "reused": {"fakes": "reused", "g_batch_size": 8, "dequantize": False, "lr_decay": "linear"},
    "spectral G": {"norm_g": "spectral", "loss": "cross-entropy"},
    "batch norm in D": {"norm": "batch", "conditional": True},
    "penalty": {"norm": "batch", "n_dis": 1},
}
"""Those that are to equal one process: without rounding, as Adam makes much of gradients that are nearly 0."""
VARIANTS = IN_FLOAT32 | IN_FLOAT64


class Smooth(Loss, contract=1):
    """Least squares with the R1 penalty: needs gradients of gradients, through batch norms as well."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return (real_logits - 1).square().mean() + fake_logits.square().mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        return (fake_logits - 1).square().mean()

    def penalty(self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        x = real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()


class Forgetful(Architecture, contract=1):
    """The discriminator of another architecture behind a dropout, which draws from torch's own random numbers."""

    inner: Architecture

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        network = self.inner.discriminator(shape, norm)
        network.register_forward_pre_hook(lambda module, inputs: (nn.functional.dropout(inputs[0], 0.3), *inputs[1:]))
        return network


class Unseeded(Architecture, contract=1):
    """A discriminator whose first weights no seed decides on."""

    inner: Architecture

    def discriminator(self, shape: NetworkShape, norm: Normalization) -> nn.Module:
        network = self.inner.discriminator(shape, norm)
        random = np.random.default_rng()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.from_numpy(random.normal(0, 0.01, parameter.shape)).to(parameter.dtype))
        return network


def composed(variant: str, devices: int) -> Composition:
    settings = {"arch": {"name": "standard", "width": 0.05}, "steps": 4, "devices": devices, **VARIANTS[variant]}
    layers = [Layer("tiny", conftest.TINY), Layer("test", settings)]
    made = compose([recipe("paper"), *layers], Catalog.installed())
    changed: dict[str, dict[str, Any]] = {
        "penalty": {"loss": Smooth()},
        "dropout": {"arch_d": Forgetful(inner=made.arch_d)},
        "unseeded weights": {"arch_d": Unseeded(inner=made.arch_d)},
    }
    return dataclasses.replace(made, **changed.get(variant, {}))


@contextlib.contextmanager
def world() -> Iterator[World]:
    if follows():
        with following(lambda: False) as (joined, _):
            yield joined
    else:
        with leading(given_size(), "cpu") as joined:
            joined.broadcast(Order(composed("paper", joined.size).config, None))
            yield joined


def trained(variant: str, here: World, folder: Path) -> dict[str, dict[str, Tensor]]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10, conftest.SIDE, conftest.SIDE, 3), dtype=np.uint8)
    data = conftest.RandomPictures(images, np.arange(10, dtype=np.int64) % conftest.CLASSES)
    composition = composed(variant, here.size)

    def training(name: str, stop: Callable[[], bool] = lambda: False) -> Training:
        return Training(composition, data, folder / variant / name, lambda event: None, stop=stop, world=here)

    whole = training("whole")
    whole.run()
    # One process alone is asked to stop: the last one.
    half = training("halves", lambda: here.rank == here.size - 1 and half.progress.step == 2)
    assert half.run().step == 2
    torch.manual_seed(123 + here.rank)
    rest = training("halves")
    rest.resume(checkpoint.folder_of(folder / variant / "halves" / "checkpoints", 2))
    rest.run()
    return {"whole": whole.gan.state(), "resumed": rest.gan.state()}


def main(folder: Path, variants: list[str]) -> None:
    torch.set_num_threads(1)
    with world() as here:
        for variant in sorted(variants, key=list(VARIANTS).index):
            if variant in IN_FLOAT64:
                torch.set_default_dtype(torch.float64)
                Tensor.float = Tensor.double  # type: ignore[method-assign]
            found = trained(variant, here, folder)
            tensors = {
                f"{way}/{file}/{key}": tensor.contiguous()
                for way, state in found.items()
                for file, group in state.items()
                for key, tensor in group.items()
            }
            save_file(tensors, folder / f"{variant}.{here.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

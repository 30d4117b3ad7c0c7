"""Who is measured: the engine's step, the step as one writes it first in PyTorch, and torch-mimicry's.

A contestant is a row of networks with random pictures to train on; calling it makes one iteration of algorithm 1, n_dis
updates of D and one of G, and returns the losses of D and G. All get batches of the same kind and size.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from common import Row, Settings
from plain import Plain
from torch import Tensor

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, recipe
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.device import set_precision
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.graph import CudaRecorder, recorded
from sngan_cli.engine.quickest import LEAST, worthwhile
from sngan_cli.engine.step import iteration

PICTURES = 4096
Step = Callable[[], tuple[float, float]]


def ours(row: Row, settings: Settings, precision: str, compile_: str = "auto") -> Step:
    """The engine's step: on a GPU as one CUDA graph, unless `compile_` is off; compiled, where it is on."""
    values = {
        "dataset": "shapes", "size": row.side, "arch": {"name": row.arch}, "conditional": row.conditional,
        "device": str(settings.device), "precision": precision, "batch_size": settings.batch, "g_batch_size":
        settings.batch, "n_dis": settings.n_dis, "compile": compile_,
    }  # fmt: skip
    composition = compose([recipe("paper"), Layer("benchmark", values)], Catalog.installed())
    gan = Gan.build(composition, row.classes, World(settings.device))
    stream = ImageStream(*pictures(row), device=settings.device, seed=0, flip=False, dequantize=True)
    if compile_ == "on":
        gan.compile()
    if worthwhile(gan, composition.config, LEAST):
        iterate = recorded(gan, stream, composition.config, CudaRecorder(gan.device, gan.random))
    else:
        iterate = partial(iteration, gan, stream, composition.config)

    def step() -> tuple[float, float]:
        losses = iterate()
        return losses.discriminator.item(), losses.generator.item()

    return step


def eager(row: Row, settings: Settings, precision: str) -> Step | None:
    """The engine's step kernel by kernel on a GPU; on a CPU `ours` is that."""
    return ours(row, settings, precision, "off") if settings.device.type == "cuda" else None


def compiled(row: Row, settings: Settings, precision: str) -> Step:
    """The engine's step with both networks compiled."""
    return ours(row, settings, precision, "on")


def plain(row: Row, settings: Settings, precision: str) -> Step:
    """The step as one writes it first."""
    gan = Plain(row.arch, row.side, row.classes, settings.device, bf16=precision == "bf16")
    batches = batches_of(row, settings)

    def step() -> tuple[float, float]:
        loss_d, loss_g = gan.iteration([next(batches) for _ in range(settings.n_dis)], settings.batch)
        return loss_d.item(), loss_g.item()

    return step


def mimicry(row: Row, settings: Settings, precision: str) -> Step | None:
    """torch-mimicry's networks and training steps; None where it is not installed or has no such network."""
    spec = importlib.util.find_spec("torch_mimicry")
    if spec is None or row.arch != "resnet-preact" or precision == "bf16":
        return None
    # Its package imports TensorFlow for its metrics; the networks do without.
    package = types.ModuleType("torch_mimicry")
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["torch_mimicry"] = package
    kind, prefix = ("cgan_pd", "CGANPD") if row.conditional else ("sngan", "SNGAN")
    given = {"num_classes": row.classes} if row.conditional else {}
    try:
        module = importlib.import_module(f"torch_mimicry.nets.{kind}.{kind}_{row.side}")
    except ModuleNotFoundError:
        return None
    net_g = getattr(module, f"{prefix}Generator{row.side}")(**given).to(settings.device)
    net_d = getattr(module, f"{prefix}Discriminator{row.side}")(**given).to(settings.device)
    opt_g = torch.optim.Adam(net_g.parameters(), lr=2e-4, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(net_d.parameters(), lr=2e-4, betas=(0.0, 0.9))
    batches, said = batches_of(row, settings), {}
    log = types.SimpleNamespace(add_metric=lambda name, value, **_: said.update({name: value}))

    def step() -> tuple[float, float]:
        for _ in range(settings.n_dis):
            batch = next(batches)
            net_d.train_step(real_batch=batch, netG=net_g, optD=opt_d, log_data=log, device=settings.device)
        net_g.train_step(real_batch=batch, netD=net_d, optG=opt_g, log_data=log, device=settings.device)
        return float(torch.as_tensor(said["errD"]).detach()), float(torch.as_tensor(said["errG"]).detach())

    return step


MAKERS = {"ours": ours, "eager": eager, "compiled": compiled, "plain": plain, "mimicry": mimicry}


def names(device: torch.device | None = None) -> list[str]:
    """Every contestant with each of its precisions, ours first; on a device those measured by default.

    Compilers take minutes, and so it has to be asked for by name what they make.
    """
    on_a_cpu = device is not None and device.type == "cpu"
    precisions = ("fp32", "bf16") if on_a_cpu else ("fp32", "tf32", "bf16")  # TensorFloat-32 is a GPU's
    left_out = {"eager", "compiled"} if on_a_cpu else {"compiled"} if device is not None else set()
    makers = [maker for maker in MAKERS if maker not in left_out]
    return [f"{maker}-{precision}" for precision in precisions for maker in makers]


def enter(name: str, row: Row, settings: Settings) -> Step | None:
    """Make a contestant such as `ours-fp32`; None where there is no such one for these networks or on this device."""
    maker, _, precision = name.rpartition("-")
    if precision == "tf32" and settings.device.type != "cuda":
        return None
    torch.manual_seed(0)
    set_precision(precision, settings.device)  # a graph keeps that in which it is recorded
    step = MAKERS[maker](row, settings, precision)
    if step is None:
        return None

    def in_precision() -> tuple[float, float]:
        set_precision(precision, settings.device)  # TensorFloat-32 is allowed or not for the whole process
        return step()

    return in_precision


def pictures(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures (N, side, side, 3) uint8 and labels (N,)."""
    random = np.random.default_rng(0)
    return (
        random.integers(0, 256, (PICTURES, row.side, row.side, 3), dtype=np.uint8),
        random.integers(0, row.classes or 10, PICTURES),
    )


def batches_of(row: Row, settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Real batches on the device, drawn at random: what everyone but us is fed with, at next to no cost."""
    images, labels = (torch.from_numpy(array).to(settings.device) for array in pictures(row))
    everything = images.permute(0, 3, 1, 2).contiguous()
    while True:
        index = torch.randint(len(everything), (settings.batch,), device=settings.device)
        x = everything[index].float()
        yield (x + torch.rand_like(x)) / 128 - 1, labels[index]

"""The two networks with everything that changes while they train."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sngan_cli.composition import Composition
from sngan_cli.config import RunConfig
from sngan_cli.contracts import Loss, NetworkShape, WeightConstraint
from sngan_cli.engine import checkpoint
from sngan_cli.engine.data import derived_seed
from sngan_cli.engine.device import quieten_compiler, resolve_device
from sngan_cli.engine.distributed import World, synchronise
from sngan_cli.engine.schedule import averaging_at, rate_at
from sngan_cli.errors import CheckpointError, ComponentError
from sngan_cli.wording import counted


@dataclass
class Gan:
    """Generator and discriminator, their optimisers, and the random numbers that feed them."""

    generator: nn.Module
    discriminator: nn.Module
    averaged: nn.Module | None
    """Exponential moving average of the generator; None where the run keeps none."""
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    loss: Loss
    classes: int | None
    averaging: Tensor
    """Weight of the present generator in its average, a scalar on the device."""
    random: torch.Generator
    """Source of latents, labels, flips and noise, on the device; the same in all processes that train together."""
    world: World
    bf16: bool
    separate: bool
    """Real and generated images pass through D apart, because D normalises over the batch."""

    @classmethod
    def build(cls, composition: Composition, classes: int | None, world: World) -> Gan:
        """Build and initialise both networks from the run's seed; `classes` is None where it is unconditional."""
        config, device = composition.config, world.device
        if device.type == "cuda":
            gc.collect()  # networks that were tried, or trained before, hold themselves in cycles, and their memory
            torch.cuda.empty_cache()
        torch.manual_seed(derived_seed(config.seed, "initialisation"))
        generator = placed(_generator(composition, classes), device)
        discriminator = placed(_discriminator(composition, classes), device)
        for what, name, network in (
            ("generator", config.arch_g.name, generator), ("discriminator", config.arch_d.name, discriminator),
        ):  # fmt: skip
            if next(network.parameters(), None) is None:
                raise ComponentError(f"The {what} {name!r} has no weights to train: tell its author.")
            world.spread(network)  # third parties may draw first weights from anywhere
        averaged = copy.deepcopy(generator).eval().requires_grad_(False) if config.ema else None
        if world.size > 1 and config.sync_batch_norm:
            synchronise(generator)
            synchronise(discriminator)
        gan = cls(
            generator=generator,
            discriminator=discriminator,
            averaged=averaged,
            optimizer_g=_adam(generator, config),
            optimizer_d=_adam(discriminator, config),
            loss=composition.loss,
            classes=classes,
            averaging=torch.zeros((), device=device),
            random=torch.Generator(device).manual_seed(derived_seed(config.seed, "training")),
            world=world,
            bf16=config.precision == "bf16",
            separate=uses_batch_statistics(discriminator),
        )
        gan.schedule(config, 1)
        return gan

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.world.device

    def latents(self, images: int) -> tuple[Tensor, Tensor | None]:
        """Draw z ~ N(0, I) (N, latent_dim) and, where conditional, labels evenly over the classes.

        N is `images`, or the number of this process's share of them.
        """
        z = torch.randn(images, latent_dim(self.generator), device=self.device, generator=self.random)
        if self.classes is None:
            return z[self.world.share], None
        y = torch.randint(self.classes, (images,), device=self.device, generator=self.random)
        return z[self.world.share], y[self.world.share]

    def arithmetic(self) -> torch.autocast:
        """Context in which the networks run: bfloat16 where the run asks for it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def compile(self) -> None:
        """Let both networks be compiled when they are first called in training."""
        torch.compiler.reset()  # torch compiles a method for a few objects only: those of earlier runs count no more
        quieten_compiler()
        for network in (self.generator, self.discriminator):
            network.compile(dynamic=False)

    def leave_uncompiled(self) -> None:
        """Take `compile` back."""
        for network in (self.generator, self.discriminator):
            network._compiled_call_impl = None

    def drawing(self, weights: str) -> nn.Module:
        """The generator that scores and pictures are made with: `raw` or `averaged`."""
        if weights == "averaged" and self.averaged is not None:
            return self.averaged
        return self.generator

    def schedule(self, config: RunConfig, step: int) -> None:
        """Set what differs from update to update, for `step` (from 1): learning rates, and how the average moves.

        All of it is on the device, where a recorded iteration finds it.
        """
        for optimizer, rate in ((self.optimizer_g, config.lr_g), (self.optimizer_d, config.lr_d)):
            for group in optimizer.param_groups:
                group["lr"].fill_(rate * rate_at(config, step))
        self.averaging.fill_(averaging_at(config, step))

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Every tensor that training goes on from, by file: networks, Adam's moments and random states.

        All processes that train together ask for it at once. Their networks are equal, but for the running statistics
        of batch norms that are not synchronised, where the leader's are kept. Torch's own random states, one a process,
        are laid end to end.
        """
        found = {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer_g": _moments(self.optimizer_g),
            "optimizer_d": _moments(self.optimizer_d),
            "random": {"gan": self.random.get_state(), "torch": self.world.gather(torch.get_rng_state())},
        }
        if self.averaged is not None:
            found["averaged"] = self.averaged.state_dict()
        if self.device.type == "cuda":
            found["random"]["cuda"] = self.world.gather(torch.cuda.get_rng_state(self.device))
        return found

    def load_state(self, state: Mapping[str, Mapping[str, Tensor]]) -> bool:
        """Go back to what `state` returned, in place; False where its random numbers are another type of device's.

        Raises `CheckpointError` where it is that of other networks.
        """
        _load(self.generator, state["generator"])
        _load(self.discriminator, state["discriminator"])
        if self.averaged is not None:
            _load(self.averaged, state["averaged"])
        _load_moments(self.optimizer_g, state["optimizer_g"])
        _load_moments(self.optimizer_d, state["optimizer_d"])
        if ("cuda" in state["random"]) != (self.device.type == "cuda"):
            return False
        self.random.set_state(state["random"]["gan"])
        torch.set_rng_state(self.world.part(state["random"]["torch"]))
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.world.part(state["random"]["cuda"]), self.device)
        return True

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Context after which all that training goes on from is as it was before, in place."""
        before = copy.deepcopy(self.state())
        try:
            yield
        finally:
            self.load_state(before)

    def reseed(self, seed: int) -> None:
        """Begin new streams of random numbers: that of batches, and torch's own, which each process has to itself."""
        self.random.manual_seed(seed)
        torch.manual_seed(seed + self.world.rank)


def try_checkpoint(composition: Composition, classes: int | None, folder: Path) -> None:
    """Load a verified checkpoint into networks built anew; raises `CheckpointError` where it is that of others."""
    _load(_generator(composition, classes), checkpoint.read_tensors(folder, "generator"))
    _load(_discriminator(composition, classes), checkpoint.read_tensors(folder, "discriminator"))


def load_generator(
    network: nn.Module, classes: int | None, checkpoint_folder: Path, weights: str, device: str
) -> nn.Module:
    """Give a run's generator the `raw` or `averaged` weights of a verified checkpoint, in evaluation mode.

    An image is drawn, so that what fails of it fails here. Raises `CheckpointError` where the checkpoint is that of
    another network.
    """
    name = "averaged" if weights == "averaged" else "generator"
    _load(network, checkpoint.read_tensors(checkpoint_folder, name))
    at = resolve_device(device)
    network = placed(network, at).eval().requires_grad_(False)
    y = None if classes is None else torch.zeros(1, dtype=torch.int64, device=at)
    network(torch.zeros(1, latent_dim(network), device=at), y)
    return network


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its convolutions in channels-last order: the quicker one on CPUs and tensor cores."""
    return network.to(device).to(memory_format=torch.channels_last)


def latent_dim(generator: nn.Module) -> int:
    """Length of a generator's latent vectors."""
    value = getattr(generator, "latent_dim", None)
    if not isinstance(value, int):
        raise ComponentError(f"The generator {type(generator).__name__} has no attribute latent_dim (an int).")
    return value


def constraints(network: nn.Module) -> Iterator[WeightConstraint]:
    """Find the weight constraints of a network that have a state to advance."""
    # It is the class that is asked: Python 3.12.0 to 3.12.3 keep that of all that `isinstance` looks at for a protocol
    # (gh-118013), and the class of a layer whose weight is constrained holds the layer.
    for module in network.modules():
        if issubclass(type(module), WeightConstraint):
            yield cast(WeightConstraint, module)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network without computing any for its weights."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _generator(composition: Composition, classes: int | None) -> nn.Module:
    return composition.arch_g.generator(_shape(composition, classes), composition.norm_g)


def _discriminator(composition: Composition, classes: int | None) -> nn.Module:
    return composition.arch_d.discriminator(_shape(composition, classes), composition.norm)


def _shape(composition: Composition, classes: int | None) -> NetworkShape:
    assert composition.config.size is not None  # resolved before anything is built
    return NetworkShape(composition.config.size, classes)


def _adam(network: nn.Module, config: RunConfig) -> torch.optim.Adam:
    """Adam, its moments there from the start and its rate, which `Gan.schedule` sets, on the device."""
    parameters = list(network.parameters())
    device = parameters[0].device
    # On a CPU torch reads the rate as a double; a GPU's kernel takes a float.
    rate = torch.zeros((), dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
    adam = torch.optim.Adam(parameters, lr=rate, betas=(config.beta1, config.beta2), fused=True)
    for parameter in parameters:
        adam.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return adam


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether a network says that what it makes of an image depends on the others of the batch."""
    return any(isinstance(m, _BatchNorm) or getattr(m, "batch_statistics", False) for m in network.modules())


def _load(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    reshaped = {name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape}
    differing = sorted(reshaped | (own.keys() ^ tensors.keys()))
    if differing:
        raise CheckpointError(
            f"The checkpoint is of another network than {type(network).__module__} builds now: "
            f"{counted(len(differing), 'tensor of one is', 'tensors of one are')} not in the other or of another "
            f"shape, {differing[0]!r} to begin with. Install the version of sngan or of the plugin that the run was "
            "trained with: sngan runs show names both."
        )
    network.load_state_dict(tensors)


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as named tensors: `3.exp_avg` belongs to the fourth parameter."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def _load_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in moments.items():
        index, _, name = key.partition(".")
        optimizer.state[parameters[int(index)]][name].copy_(value)

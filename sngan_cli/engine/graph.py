"""A whole iteration as one CUDA graph, which the host launches at once where it launched thousands of kernels.

What changes from iteration to iteration lies in memory that the graph reads: the real images that are next, the
learning rates and the average's weight (`Gan.schedule`), and the state of the random numbers, which replaying moves on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from sngan_cli.config import RunConfig
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.step import Losses, iteration

LEAST = 50
"""Iterations that are to come where one is recorded: recording takes as long as four."""
TOLERANCE = 0.5
"""How far weights may be from where the plain iteration moved them, as a part of that way.

Rounding in another order costs a few hundredths at most, for Adam's first updates are signs of gradients; a graph that
leaves out an update, or draws other random numbers, is off by the whole way.
"""

Iteration = Callable[[], Losses]


class UnrecordableError(Exception):
    """An iteration cannot be recorded, for the reason that this says."""


class Recorder(Protocol):
    """What records the work that is done on a device."""

    def rehearse(self, work: Iteration, *, strictly: bool) -> Losses:
        """Do work as it will be recorded; `strictly` raises `RuntimeError` where the host waits for the device."""

    def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
        """Record work without doing it: what does it, and where its losses are after that."""


def worthwhile(gan: Gan, config: RunConfig, iterations: int) -> bool:
    """Whether to record the iteration of which so many are to come."""
    return gan.device.type == "cuda" and gan.world.size == 1 and config.compile != "off" and iterations >= LEAST


def recorded(gan: Gan, real: ImageStream, config: RunConfig, recorder: Recorder) -> Iteration:
    """Record `iteration`, and see that it does what the plain one does; nothing has changed after that.

    Raises `UnrecordableError` where it cannot be recorded, or does something else.
    """
    given = GivenBatches(real, config)

    def work() -> Losses:
        given.rewind()
        return iteration(gan, given, config)

    drawn = real.drawn
    try:
        given.fill()
        for strictly in (False, True):  # first work looks for memory and kernels, and may wait for the device
            with gan.rehearsal():
                before = _weights(gan)
                expected = recorder.rehearse(work, strictly=strictly)
                plain = _weights(gan)
        with gan.rehearsal():
            replay, losses = _recorded(gan, work, recorder)
            replay()
            _compare(before, plain, _weights(gan), expected, losses)
    except RuntimeError as error:
        raise UnrecordableError(str(error).partition("\n")[0]) from error
    finally:
        real.drawn = drawn

    def again() -> Losses:
        given.fill()
        replay()
        return losses

    return again


class GivenBatches:
    """The real batches of one iteration, in memory that stays where it is: `fill` reads the next ones into it."""

    def __init__(self, real: ImageStream, config: RunConfig) -> None:
        self._real, self._batch, self._count = real, config.batch_size, config.n_dis
        self._places: list[tuple[Tensor, ...]] = []
        self._next = 0

    def fill(self) -> None:
        """Read what the stream has next."""
        read = [self._real.read(self._batch) for _ in range(self._count)]
        if not self._places:
            device = self._real.device
            self._places = [tuple(torch.empty_like(part, device=device) for part in parts) for parts in read]
        for places, parts in zip(self._places, read, strict=True):
            for place, part in zip(places, parts, strict=True):
                place.copy_(part, non_blocking=True)

    def rewind(self) -> None:
        """Begin with the first batch again."""
        self._next = 0

    def next(self, batch: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) in [-1, 1] and labels (N,) of the next batch."""
        read = self._places[self._next]
        self._next += 1
        return self._real.finish(read, batch, random)


class CudaRecorder:
    """Records work on a CUDA device, random numbers of `random` and of torch's own generator included."""

    def __init__(self, device: torch.device, random: torch.Generator) -> None:
        self._device, self._random = device, random
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def rehearse(self, work: Iteration, *, strictly: bool) -> Losses:
        """Do work on the stream that it will be recorded on, where libraries make themselves ready."""
        with self._beside():
            torch.cuda.set_sync_debug_mode("error" if strictly else "default")
            try:
                return work()
            finally:
                torch.cuda.set_sync_debug_mode("default")

    def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
        """Record work in a graph with memory of its own."""
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # since torch 2.12 generators are found by themselves
            graph.register_generator_state(self._random)
        try:
            # Other threads, such as the one that reads ahead, may go on with the device meanwhile.
            with self._beside(), torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                losses = work()
        except RuntimeError:
            # A recording that breaks off leaves generators as if it went on: they go on with states of their own.
            for generator in (self._random, torch.cuda.default_generators[torch.cuda.current_device()]):
                generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
            raise
        return graph.replay, losses

    @contextmanager
    def _beside(self) -> Iterator[None]:
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            yield
        usual.wait_stream(self._stream)


def _recorded(gan: Gan, work: Iteration, recorder: Recorder) -> tuple[Callable[[], None], Losses]:
    groups = [group for optimizer in (gan.optimizer_g, gan.optimizer_d) for group in optimizer.param_groups]
    try:
        for group in groups:
            group["capturable"] = True  # torch asks for it while it records, and warns of it at any other time
        return recorder.record(work)
    finally:
        for group in groups:
            group["capturable"] = False


def _weights(gan: Gan) -> list[Tensor]:
    """Copies of the parameters of both networks."""
    networks: tuple[nn.Module, ...] = (gan.generator, gan.discriminator)
    return [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks]


def _compare(
    before: list[Tensor], plain: list[Tensor], replayed: list[Tensor], expected: Losses, losses: Losses
) -> None:
    """Raise `RuntimeError` where the replayed iteration has not done what the plain one has."""
    for name, start, end, found in zip(("generator", "discriminator"), before, plain, replayed, strict=True):
        off = ((found - end).norm() / (end - start).norm()).item()
        if not off < TOLERANCE:
            raise RuntimeError(f"replayed, it moves the {name} elsewhere: {off:.0%} of the way off")
    torch.testing.assert_close(losses.discriminator, expected.discriminator, rtol=0.1, atol=0.1)

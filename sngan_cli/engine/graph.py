"""A whole iteration as one CUDA graph, which the host launches at once where it launched thousands of kernels.

What changes from iteration to iteration lies in memory that the graph reads: the real images that are next, the
learning rates and the average's weight (`Gan.schedule`), and the state of the random numbers, which replaying moves on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from sngan_cli.config import RunConfig
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.step import Losses, iteration
from sngan_cli.wording import first_line

TOLERANCE = 0.1
"""How far weights may be from where the plain iteration moved them, as a part of that way.

On some devices the plain iteration itself comes out differently each time: what two of them differ by is allowed
threefold, if that is more. An update of n_dis = 5 that is left out is off by a fifth, other random numbers by all.
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


def recorded(gan: Gan, real: ImageStream, config: RunConfig, recorder: Recorder) -> Iteration:
    """Record `iteration`, and see that it does what the plain one does; nothing has changed after that.

    Raises `UnrecordableError` where it cannot be recorded, or does something else.
    """
    given, places = GivenBatches(real, config), _places(gan)

    def work() -> Losses:
        given.rewind()
        return iteration(gan, given, config)

    drawn = real.drawn
    try:
        given.fill()
        before, plain = _weights(gan), list[list[Tensor]]()
        for strictly in (False, True):  # first work looks for memory and kernels, and may wait for the device
            with gan.rehearsal():
                expected = recorder.rehearse(work, strictly=strictly)
                plain.append(_weights(gan))
        with gan.rehearsal():
            replay, losses = _recorded(gan, work, recorder)
            replay()
            _compare(before, plain, _weights(gan), expected, losses)
        if _places(gan) != places:
            raise RuntimeError("it puts new tensors in the place of its state, where it has to write into the old ones")
    except RuntimeError as error:
        raise UnrecordableError(first_line(error)) from error
    finally:
        real.drawn = drawn

    return partial(_again, gan, given, replay, losses)


def _again(gan: Gan, given: GivenBatches, replay: Callable[[], None], losses: Losses) -> Losses:
    """Replay with the batches that are next. What a graph works on is where it was: `gan` is here to stay there."""
    given.fill()
    replay()
    return losses


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
            _mind_waiting("error" if strictly else "default")
            try:
                return work()
            finally:
                _mind_waiting("default")

    def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
        """Record work in a graph with memory of its own."""
        graph = torch.cuda.CUDAGraph()
        try:
            with self._beside():
                if torch.__version__ < (2, 14):  # type: ignore[operator]  # later ones find generators by themselves
                    graph.register_generator_state(self._random)
                # Other threads, such as the one that reads ahead, may go on with the device meanwhile.
                with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                    losses = work()
        except Exception as error:  # a compiler's may be of any kind
            # A recording that breaks off leaves generators as if it went on: they go on with states of their own.
            for generator in (self._random, torch.cuda.default_generators[self._stream.device_index]):
                generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
            # That the recording is broken is said in place of what broke it.
            raise RuntimeError(str(error.__context__ or error)) from error
        return graph.replay, losses

    @contextmanager
    def _beside(self) -> Iterator[None]:
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            try:
                yield
            finally:
                usual.wait_stream(self._stream)  # what an error has left under way must not outlast its undoing


def _mind_waiting(mode: str) -> None:
    """Say whether torch raises an error where the host waits for the device."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode")  # it tells once that it is a prototype
        torch.cuda.set_sync_debug_mode(mode)


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


def _places(gan: Gan) -> list[int]:
    """Where in memory that lies which training goes on from."""
    return [t.data_ptr() for file, tensors in gan.state().items() if file != "random" for t in tensors.values()]


def _compare(
    before: list[Tensor], plain: list[list[Tensor]], replayed: list[Tensor], expected: Losses, losses: Losses
) -> None:
    """Raise `RuntimeError` where the replayed iteration has not done what the plain one has, twice."""
    for name, start, once, twice, found in zip(("generator", "discriminator"), before, *plain, replayed, strict=True):
        way, chance, off = ((a - b).norm().item() for a, b in ((twice, start), (once, twice), (found, twice)))
        if not off <= max(TOLERANCE * way, 3 * chance):  # so that NaN is refused
            raise RuntimeError(f"replayed, it moves the {name} elsewhere: {off:.3g} off a way of {way:.3g}")
    for name, loss, wanted in zip(
        "DG", *((each.discriminator, each.generator) for each in (losses, expected)), strict=True
    ):
        if not (loss - wanted).abs() <= 0.1 * (1 + wanted.abs()):
            raise RuntimeError(f"replayed, it has the loss {loss.item():.4g} of {name}, not {wanted.item():.4g}")

"""The training step in its quickest form on a device: kernel by kernel, or as one CUDA graph."""

from __future__ import annotations

import torch

from sngan_cli.config import RunConfig
from sngan_cli.contracts import Loss
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.graph import CudaRecorder, Iteration, UnrecordableError, recorded
from sngan_cli.engine.step import iteration
from sngan_cli.events import Compiling, Noticed, Observer
from sngan_cli.wording import first_line

LEAST = 50
"""Iterations that are to come where one is recorded: recording takes as long as four."""
LEAST_COMPILED = 20_000
"""Iterations that are to come where one of compiled networks is recorded: compilers take a minute or two."""


def quickest(
    gan: Gan, real: ImageStream, config: RunConfig, iterations: int, *, step: int, observe: Observer
) -> Iteration:
    """The iteration, of which so many are to come after `step`: as a CUDA graph where that is worth it and can be done.

    What cannot be done is told of. Unless `compile` is on, networks are compiled for a graph alone, and for a long run.
    """

    def compiled() -> None:
        observe(Compiling(step))
        gan.compile()

    def record(kind: str, failing: str, faults: type[Exception]) -> Iteration | None:
        """The iteration as a CUDA graph; None where it cannot be one, for which there is a notice."""
        try:
            return recorded(gan, real, config, CudaRecorder(gan.device, gan.random))
        except faults as error:
            observe(Noticed(step, kind, f"{failing}: {compiler_said(error)}."))
        # Rehearsals had a stream of their own, whose memory no other uses; what the error held of it is free now.
        torch.cuda.empty_cache()
        return None

    def record_plain() -> Iteration | None:
        failing = "Steps are launched kernel by kernel, and not replayed as one CUDA graph"
        return record("unrecorded", failing, UnrecordableError)

    def record_compiled() -> Iteration | None:
        compiled()
        try:  # there are many ways for a compiler to fail
            return record("uncompiled", "The networks are not compiled", Exception)
        finally:
            gan.leave_uncompiled()  # the graph has its kernels already

    if config.compile == "on":
        compiled()
    replay = record_plain() if worthwhile(gan, config, iterations) else None
    penalised = type(gan.loss).penalty is not Loss.penalty  # torch does not differentiate compiled networks twice
    if replay is not None and config.compile == "auto" and iterations >= LEAST_COMPILED and not penalised:
        replay = None  # its memory may be needed: what can be recorded once can be again
        replay = record_compiled() or record_plain()
    return replay or (lambda: iteration(gan, real, config))


def worthwhile(gan: Gan, config: RunConfig, iterations: int) -> bool:
    """Whether to record the iteration of which so many are to come."""
    return gan.device.type == "cuda" and gan.world.size == 1 and config.compile != "off" and iterations >= LEAST


def compiler_said(error: BaseException) -> str:
    """What is amiss, where torch says first which of its compilers says so."""
    error = (error.__cause__ or error) if isinstance(error, UnrecordableError) else error
    return first_line(getattr(error, "inner_exception", error)).rstrip(".")

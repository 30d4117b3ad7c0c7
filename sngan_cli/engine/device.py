"""Where the arithmetic runs, and in which precision."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import torch

from sngan_cli.errors import SnganError, UsageError
from sngan_cli.waiting import SPINS
from sngan_cli.wording import counted, first_line


class Listener(Protocol):
    """Who is told how work on a device stands."""

    def warn(self, message: str) -> None:
        """Show a warning."""

    def debug(self, message: str) -> None:
        """Show what only `--debug` asks for."""


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that is there and works; raises `UsageError` otherwise."""
    return working(find_device(name))


def find_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that is there; raises `UsageError` otherwise."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"There is no device {name!r}: choose auto, cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise UsageError(f"The device {name!r} is not supported: choose auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        raise UsageError(
            f"The device {name!r} is not there: torch {torch.__version__} sees {counted(there, 'CUDA device')}. "
            f"{_way_out(there)}"
        )
    return device


def _way_out(there: int) -> str:
    """What to do where a GPU is asked for and so many others are there."""
    if there:
        return "Use --device cuda, or count from cuda:0."
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return f"Use --device cpu, or unset CUDA_VISIBLE_DEVICES = {visible!r}, which says what it may see."
    return "Use --device cpu, or install a torch build that fits the driver."


def working(device: torch.device) -> torch.device:
    """The same device; raises `UsageError` where it is a GPU that torch cannot compute on."""
    if device.type == "cuda":
        try:
            torch.ones((), device=device)  # by a kernel, where memory might merely be set
        except RuntimeError as error:
            raise UsageError(
                f"The device {str(device)!r} is there and cannot be used: {first_line(error).rstrip('.')}. Use "
                "--device cpu, or install a driver and a torch build that fit it."
            ) from error
    return device


def fastest_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """bf16 where the device has units for it, as GPUs since Ampere and CPUs with AVX512-BF16 or AMX have, else fp32.

    docs/performance.md has what it gains, and that it costs no quality.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_properties(device).major >= 8 else "fp32"
    units = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bf16" if any(there() for there in units if there is not None) else "fp32"


def set_precision(precision: str | None, device: torch.device) -> None:
    """Allow TensorFloat-32 on a GPU where `precision` is tf32, and only there."""
    if precision == "tf32" and device.type != "cuda":
        raise UsageError("The precision 'tf32' exists on CUDA devices only: use --precision fp32 or bf16.")
    # These switches keep torch's newer ones in agreement; the reverse is not so, and torch's own code reads both.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def make_ready(device: torch.device, precision: str, listener: Listener) -> None:
    """Set the precision and what quickens work, of which the listener is told, and of a precision that slows it."""
    set_precision(precision, device)
    for setting in settle(device):
        listener.debug(setting)
    if precision == "bf16" and fastest_precision(device) != "bf16":
        listener.warn(
            f"bf16 is slow here: {describe(device)} has no units for it, and computes in it at a fraction of the speed "
            "of fp32. --precision fp32 is quicker."
        )


@contextmanager
def meanwhile(device: torch.device, work: Callable[[], None]) -> Iterator[None]:
    """Context beside which a device does other work, of kernels that are too small to fill a GPU; a CPU does it before.

    What the one changes the other must not look at. Neither waits for the host.
    """
    if device.type != "cuda":
        work()
        yield
        return
    usual, beside = torch.cuda.current_stream(device), _second_stream(device)
    beside.wait_stream(usual)
    try:
        with torch.cuda.stream(beside):
            work()
        yield
    except BaseException:  # what it has left under way must not outlast its undoing
        with suppress(RuntimeError):  # in a graph that is broken; what broke it is to be told
            usual.wait_stream(beside)
        raise
    usual.wait_stream(beside)


@cache
def _second_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Context of `what` a device does, which says what to do where its memory does not suffice."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise  # that a CPU's memory does not suffice, torch says by a mere RuntimeError
        raise SnganError(f"The device ran out of memory {what}: {remedy}.") from error


def quieten_compiler() -> None:
    """Keep torch from remarks, as it compiles, that are no news."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it sees no GPU
    # Before torch 2.14 it advises TensorFloat-32, which --precision decides on.
    warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")


def check_compiler(device: torch.device) -> None:
    """Raise `UsageError` where torch.compile does not work here, by compiling next to nothing."""
    quieten_compiler()

    def next_to_nothing(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + 1)

    try:
        torch.compile(next_to_nothing)(torch.zeros(8, device=device))
    except Exception as error:  # no compiler, an unknown processor, a Python that torch does not know yet, ...
        raise UsageError(
            f"torch.compile does not work here ({type(error).__name__}: {first_line(error)}): leave --compile on out, "
            "or install what is missing, such as a C++ compiler."
        ) from error


def versions(device: torch.device) -> tuple[str, str | None]:
    """Version of torch and, on a GPU, of CUDA."""
    return torch.__version__, torch.version.cuda if device.type == "cuda" else None


def describe(device: torch.device) -> str:
    """Name the hardware behind a device."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device.type}:{device.index or 0})"
    return f"cpu ({counted(torch.get_num_threads(), 'thread')})"


def settle(device: torch.device) -> list[str]:
    """Set what quickens work on the CPU, where the user has not; says in words how things stand then.

    Scores are computed there in part whatever the device, and so threads are looked after; memory is where it trains.
    """
    fitted = fit_threads() is not None
    share = ", this container's share of the processors; OMP_NUM_THREADS overrides" if fitted else ""
    said = [f"torch uses {counted(torch.get_num_threads(), 'thread')}{share}"]
    if device.type == "cpu" and keep_freed_memory():
        said.append("glibc keeps freed memory for the next step (mallopt); set MALLOC_TRIM_THRESHOLD_ to have it not")
    if SPINS in os.environ:
        said.append(f"a thread that waits looks {os.environ[SPINS]} times before it sleeps ({SPINS})")
    return said


def fit_threads(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Let torch use no more threads than a container may have processors' time; returns how many, None if unchanged.

    torch counts the processors that there are, whose time a quota (cgroup v2) may ration: threads beyond it wait for
    one another.
    """
    if {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys():
        return None
    try:
        quota, period = map(int, limits.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such file, or a quota of "max"
        return None
    share = max(1, -(-quota // period))
    if share >= torch.get_num_threads():
        return None
    torch.set_num_threads(share)
    return share


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks for the next step on a CPU; returns whether it does.

    A step asks for the same large blocks again and again, and glibc gives each back to the system when it is freed: the
    system then clears it anew for every use. Nothing is done where the user has set an allocator or its options.
    """
    theirs = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES", "LD_PRELOAD"}
    if sys.platform != "linux" or theirs & os.environ.keys():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is None:
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    never = -1  # a large number may be too small: a step at 128 px frees several GiB at once
    return all(mallopt(*pair) for pair in ((mmap_threshold, 2**31 - 1), (trim_threshold, never), (top_pad, 2**28)))

"""Devices, precision and memory."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sngan_cli.engine import device, processes
from sngan_cli.errors import UsageError


@pytest.mark.parametrize("name", ["tpu", "mps", "cuda:99", "cpu:x", "cpu:1"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        device.resolve_device(name)


@pytest.mark.parametrize(
    ("there", "visible", "way_out"),
    [
        (1, "0", r"sees 1 CUDA device\. Use --device cuda, or count from cuda:0"),
        (0, "", r"sees 0 CUDA devices\. Use --device cpu, or unset CUDA_VISIBLE_DEVICES = ''"),
        (0, None, r"Use --device cpu, or install a torch build that fits the driver"),
    ],
)
def test_why_a_gpu_is_not_there(monkeypatch: pytest.MonkeyPatch, there: int, visible: str | None, way_out: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UsageError, match=way_out):
        device.resolve_device("cuda:1")


@pytest.mark.parametrize("resolve", [device.resolve_device, lambda name: processes.take_device(name, 1)])
def test_a_gpu_that_torch_cannot_compute_on(monkeypatch: pytest.MonkeyPatch, resolve: Callable[[str], object]) -> None:
    def too_old(*size: object, device: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nSearch for it.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", too_old)
    with pytest.raises(UsageError, match=r"'cuda' is there and cannot be used: CUDA error: no kernel .* device\. Use"):
        resolve("auto")


def test_tf32_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="'tf32' exists on CUDA devices only"):
        device.set_precision("tf32", torch.device("cpu"))


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_bf16_is_the_quickest_where_a_processor_has_units_for_it(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert device.fastest_precision(torch.device("cpu")) == expected
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert device.fastest_precision(torch.device("cpu")) == "fp32"


def test_bf16_is_the_quickest_on_a_gpu_that_does_not_emulate_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Volta card beside an Ampere one."""
    cards = {0: SimpleNamespace(major=7), 1: SimpleNamespace(major=8)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: cards[device.index])
    assert [device.fastest_precision(torch.device("cuda", index)) for index in cards] == ["fp32", "bf16"]


@pytest.mark.parametrize(
    ("name", "precision", "units", "said"),
    [
        ("cpu", "bf16", False, r"cpu \(\d+ threads?\) has no units for it, and .* --precision fp32 is quicker"),
        ("cuda", "bf16", False, r"Volta \(cuda:0\) has no units for it, and .* --precision fp32 is quicker"),
        ("cpu", "bf16", True, None),
        ("cpu", "fp32", False, None),
    ],
)
def test_bf16_is_said_to_be_slow_where_there_are_no_units_for_it(
    monkeypatch: pytest.MonkeyPatch, name: str, precision: str, units: bool, said: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Volta")
    monkeypatch.setattr(device, "fastest_precision", lambda device: "bf16" if units else "fp32")
    monkeypatch.setattr(device, "settle", lambda device: ["glibc keeps freed memory"])
    told: list[str] = []
    device.make_ready(
        torch.device(name), precision, SimpleNamespace(warn=told.append, debug=lambda message: told.append("debug"))
    )
    assert told[0] == "debug"
    assert len(told) == 1 + (said is not None)
    assert said is None or re.search(said, told[1])


def test_torch_s_ways_of_asking_for_tf32_agree() -> None:
    device.set_precision("fp32", torch.device("cpu"))
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert not torch.backends.cudnn.allow_tf32
    with torch.backends.cudnn.flags(enabled=False):  # it saves and restores what it finds
        pass


class Malloc:
    """A C library that notes what it is told."""

    def __init__(self) -> None:
        self.told: dict[int, int] = {}

    def mallopt(self, option: int, value: int) -> int:
        self.told[option] = value
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Malloc:
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    library = Malloc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(device.sys, "platform", "linux")
    return library


def test_freed_memory_is_kept(libc: Malloc) -> None:
    assert device.keep_freed_memory()
    assert libc.told == {-1: -1, -2: 2**28, -3: 2**31 - 1}


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_the_user_s_own_settings_stay(libc: Malloc, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "something")
    assert not device.keep_freed_memory()
    assert not libc.told


def test_elsewhere_nothing_is_done(libc: Malloc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not device.keep_freed_memory()
    monkeypatch.setattr(device.sys, "platform", "darwin")
    assert not device.keep_freed_memory()


@pytest.mark.parametrize(
    ("limit", "threads"),
    [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 4), ("900000 100000", 4), ("", 4), (None, 4)],
)
def test_threads_are_as_many_as_a_container_s_quota_feeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, threads: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    used = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    limits = tmp_path / "cpu.max"
    if limit is not None:
        limits.write_text(f"{limit}\n")
    assert device.fit_threads(limits) == (threads if threads < 4 else None)
    assert used[-1] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    used.append(4)
    assert device.fit_threads(limits) is None


def test_what_is_set_on_a_cpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "fit_threads", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(device, "keep_freed_memory", lambda: True)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    one, other, third = device.settle(torch.device("cpu"))
    assert one.startswith("torch uses 2 threads, this container's share of the processors")
    assert other.startswith("glibc keeps freed memory")
    assert third == "a thread that waits looks 7 times before it sleeps (GOMP_SPINCOUNT)"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    assert device.settle(torch.device("cpu"))[2:] == []
    (threads,) = device.settle(torch.device("cuda"))  # scores are computed on the CPU in part
    assert threads == one


def test_a_compiler_that_does_not_work_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object) -> object:
        raise RuntimeError("No working C++ compiler found\n\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        UsageError,
        match=r"does not work here \(RuntimeError: No working C\+\+ compiler found\): leave --compile on out",
    ):
        device.check_compiler(torch.device("cpu"))


@dataclass
class Stream:
    """A stream of a GPU that is not there, which writes down what it is to do."""

    name: str
    order: list[str]

    broken: bool = False

    def wait_stream(self, other: Stream) -> None:
        self.order.append(f"{self.name} waits for {other.name}")
        if self.broken:
            raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize("fails", ["nothing", "the work", "what is done meanwhile"])
def test_a_gpu_s_streams_wait_for_one_another_whatever_fails(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    order: list[str] = []
    usual, beside = Stream("usual", order), Stream("beside", order)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda at: usual)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(device, "_second_stream", lambda at: beside)

    def do(what: str) -> None:
        order.append(what)
        if what == fails:
            usual.broken = True  # as in a graph that is recorded
            raise ValueError(what)

    with suppress(ValueError), device.meanwhile(torch.device("cuda"), lambda: do("the work")):
        do("what is done meanwhile")
    done = ["the work"] if fails == "the work" else ["the work", "what is done meanwhile"]
    assert order == ["beside waits for usual", *done, "usual waits for beside"]

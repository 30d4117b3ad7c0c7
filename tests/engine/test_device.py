"""Devices, precision and memory."""

from __future__ import annotations

import ctypes

import pytest
import torch

from sngan_cli.engine import device
from sngan_cli.errors import UsageError


@pytest.mark.parametrize("name", ["tpu", "mps", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        device.resolve_device(name)


def test_tf32_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="'tf32' exists on CUDA devices only"):
        device.set_precision("tf32", torch.device("cpu"))


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
    assert libc.told == {-1: 2**31 - 1, -2: 2**28, -3: 2**31 - 1}


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

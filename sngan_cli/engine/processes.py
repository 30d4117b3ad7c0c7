"""How the processes that train one run come together: torchrun has started them, or the one that leads does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist

from sngan_cli.config import RunConfig
from sngan_cli.engine.device import find_device, working
from sngan_cli.engine.distributed import World, collective
from sngan_cli.errors import LostProcessError, UsageError
from sngan_cli.wording import counted

TOGETHER = timedelta(minutes=10)
"""How long processes wait for one another where all are busy with the same."""
APART = timedelta(days=7)
"""How long they wait while one of them works alone, such as on a score. One that has died is noticed all the same."""
GRACE = 10.0
"""Seconds that the other processes have to end once training has, or to say why one of them ended before."""


@dataclass(frozen=True)
class Order:
    """What the leader tells the others: the run's configuration, and the checkpoint to go on from, if any."""

    config: RunConfig
    checkpoint: Path | None


def given_size() -> int:
    """Number of processes that torchrun has started, this one included; 1 without it."""
    return _number("WORLD_SIZE", 1, least=1)


def asking_for(devices: int) -> str:
    """How to ask for so many devices: where torchrun or a scheduler starts the processes, by no option of ours."""
    if given_size() == 1:
        return f"--devices {devices}"
    return f"{counted(devices, 'process', 'processes')} (torchrun --nproc-per-node {devices})"


def follows() -> bool:
    """Whether this is a process of torchrun's, or of `leading`'s, that another one leads."""
    return given_size() > 1 and _number("RANK", 0) > 0


def _number(name: str, default: int, least: int = 0) -> int:
    """A number that torchrun tells its processes; raises `UsageError` where it is none."""
    told = os.environ.get(name, str(default))
    if not (told.isdecimal() and int(told) >= least):
        raise UsageError(f"{name} = {told!r} is no number of {least} or more: {_OF_TORCHRUN}")
    return int(told)


_OF_TORCHRUN = "torchrun sets it for the processes that it starts. Start them with it, or unset WORLD_SIZE."


def _rendezvous() -> tuple[dist.Store, int, int]:
    """Where torchrun's processes, or `leading`'s, meet, which of them this is, and of how many.

    Raises `UsageError` where something that they are told is missing.
    """
    size, rank = given_size(), _number("RANK", 0)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise UsageError(f"WORLD_SIZE is {size}, and {name} is not set: {_OF_TORCHRUN}")
    if rank >= size:
        raise UsageError(f"RANK = {rank} is not below WORLD_SIZE = {size}: {_OF_TORCHRUN}")
    _number("MASTER_PORT", 1, least=1)
    store, rank, size = next(dist.rendezvous("env://"))
    return store, rank, size


@contextmanager
def leading(devices: int, device: str) -> Iterator[World]:
    """Context in which `devices` processes train together and this one leads: torchrun's, or new ones on this machine.

    Raises `UsageError` where there are fewer devices, before anything is started.
    """
    own = take_device(device, devices)
    if devices == 1:
        yield World(own)
    elif given_size() > 1:
        store, rank, size = _rendezvous()
        with _group(store, rank, size, lambda: False) as control:
            yield World(own, rank, size, control)
    else:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        with _followers(devices, store.port) as has_lost, _group(store, 0, devices, has_lost) as control:
            yield World(own, 0, devices, control)


@contextmanager
def following(stop: Callable[[], bool]) -> Iterator[tuple[World, Order]]:
    """Context in which another process leads; gives what it has told. `stop` is asked until all have come."""
    store, rank, size = _rendezvous()
    with _group(store, rank, size, stop) as control:
        world = World(torch.device("cpu"), rank, size, control)
        order: Order = world.broadcast(None)
        yield replace(world, device=take_device(order.config.device, size)), order


def take_device(name: str, devices: int) -> torch.device:
    """Take the device `name`, or a GPU of this process's own where it is one of several and `name` is auto or cuda."""
    device = find_device(name)  # tried once it is this process's own: trying takes memory of it
    if devices == 1 or device.type == "cpu":
        return working(device)
    there = torch.cuda.device_count()
    # Slurm and its like may show each process the GPU that is its own, and nothing else; torchrun shows all to all.
    sees_its_own = there == 1 and given_size() > 1 and not dist.is_torchelastic_launched()
    here = 1 if sees_its_own else _number("LOCAL_WORLD_SIZE", devices, least=1)
    if str(device) == device.type:  # whichever there is
        if here > there:
            raise UsageError(
                f"{counted(here, 'device')} asked for, and the GPUs here are {there}: choose {asking_for(there)}, or "
                "--device cpu, where processes share the cores."
            )
        device = find_device(f"cuda:{0 if sees_its_own else _number('LOCAL_RANK', 0)}")
    elif here > 1:
        raise UsageError(
            f"The device {name!r} is one, where {here} are to be used: choose --device cuda or {asking_for(1)}."
        )
    torch.cuda.set_device(device)
    return working(device)


@contextmanager
def _group(store: dist.Store, rank: int, size: int, is_off: Callable[[], bool]) -> Iterator[dist.ProcessGroup]:
    """Join the processes, and give the group for what is told on the CPU. No more come once `is_off` says so."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with collective():
        store.set(f"sngan/{rank}", "")
        # Polled, so that neither a signal nor the death of a process is waited out.
        while not store.check([f"sngan/{r}" for r in range(size)]):
            if is_off():
                raise RuntimeError("training is off before it began")
            time.sleep(0.02)
        dist.init_process_group(
            backend, store=dist.PrefixStore("sngan", store), rank=rank, world_size=size, timeout=TOGETHER
        )
        control = dist.new_group(backend="gloo", timeout=APART)
    try:
        yield cast("dist.ProcessGroup", control)
    except BaseException:
        # NCCL's groups are destroyed by all processes together, and the others may be waiting for this one.
        dist.distributed_c10d._abort_process_group()
        raise
    dist.destroy_process_group()


@contextmanager
def _followers(devices: int, port: int) -> Iterator[Callable[[], bool]]:
    """Start the other processes on this machine, and end what is left of them with the context.

    Gives a function that says whether one of them has ended.
    """
    threads = torch.get_num_threads()
    mine = threads if "OMP_NUM_THREADS" in os.environ else max(1, threads // devices)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "OMP_NUM_THREADS": str(mine),
    }
    processes: list[subprocess.Popen[bytes]] = []
    grace = 0.0
    try:
        torch.set_num_threads(mine)
        for rank in range(1, devices):
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-P", "-m", "sngan_cli", "train"]  # -P: nothing of the folder that we are in
            processes.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            )
        yield lambda: any(process.poll() is not None for process in processes)
        grace = GRACE
    except LostProcessError:
        grace = GRACE
        raise
    finally:
        torch.set_num_threads(threads)
        latest = time.monotonic() + grace
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, latest - time.monotonic()))
            process.kill()
            process.wait()

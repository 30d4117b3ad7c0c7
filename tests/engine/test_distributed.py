"""Two processes over gloo against one: what `world.py` left of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sngan_cli.engine import checkpoint, processes
from sngan_cli.engine.distributed import SyncedBatchNorm, World, collective, synchronise
from sngan_cli.engine.loop import Training
from sngan_cli.errors import CheckpointError, LostProcessError, UsageError

HERE = Path(__file__).parent
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
EQUAL = ["paper", "conditional", "reused", "spectral G", "batch norm in D", "penalty"]
OTHERS = ["bf16", "dropout", "unseeded weights", "unsynced"]
Found = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Tensors by `VARIANT.RANK` of two processes, and by `VARIANT.alone`."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [
        [sys.executable, *TORCHRUN, "world.py", str(two), *EQUAL, *OTHERS],
        [sys.executable, "world.py", str(one), *EQUAL],
    ]
    running = [
        subprocess.Popen(command, cwd=HERE, env=environment, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    tensors = {path.stem: load_file(path) for path in two.glob("*.safetensors")}
    return tensors | {path.stem.replace(".0", ".alone"): load_file(path) for path in one.glob("*.safetensors")}


@pytest.mark.parametrize("variant", EQUAL)
def test_two_processes_equal_one_with_the_same_batch(found: Found, variant: str) -> None:
    """Weights, u and v, batch norms' statistics, Adam's moments, the average of G and the stream of random numbers."""
    two, one = found[f"{variant}.0"], found[f"{variant}.alone"]
    assert two.keys() == one.keys()
    files = {key.split("/")[1] for key in one}
    assert files == {"generator", "discriminator", "averaged", "optimizer_g", "optimizer_d", "random"}
    for key, expected in one.items():
        if key.endswith("random/torch"):
            continue  # one state a process
        torch.testing.assert_close(two[key], expected, rtol=1e-7, atol=1e-8, msg=lambda said, key=key: f"{key}: {said}")


@pytest.mark.parametrize("variant", [*EQUAL, *OTHERS])
def test_all_processes_have_the_same_to_the_bit(found: Found, variant: str) -> None:
    for key, expected in found[f"{variant}.0"].items():
        if variant == "unsynced" and "running" in key:
            continue
        assert torch.equal(found[f"{variant}.1"][key], expected), key


@pytest.mark.parametrize("variant", [v for v in (*EQUAL, *OTHERS) if v != "unseeded weights"])
def test_resumed_equals_uninterrupted_to_the_bit(found: Found, variant: str) -> None:
    """The last process alone was asked to stop, and all of them did."""
    tensors = found[f"{variant}.0"]
    for key, tensor in tensors.items():
        assert torch.equal(tensors[key.replace("whole/", "resumed/")], tensor), key


def test_batch_norms_that_are_not_synchronised_see_their_share_alone(found: Found) -> None:
    one, other = found["unsynced.0"], found["unsynced.1"]
    running = [key for key in one if key.endswith("running_mean") and "averaged" not in key]
    assert running
    for key in running:
        assert torch.isfinite(one[key]).all()
        assert not torch.equal(one[key], other[key])


def test_each_process_has_random_numbers_of_its_own_for_dropout(found: Found) -> None:
    first, second = found["dropout.0"]["whole/random/torch"].chunk(2)
    assert not torch.equal(first, second)


class OddBatchNorm(nn.BatchNorm2d):
    """A third party's, whose forward pass is its own."""


def test_torch_s_batch_norms_are_synchronised_in_place_and_no_others() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm1d(2, affine=False)), OddBatchNorm(3))
    before = network.state_dict()
    synchronise(network)
    assert [type(m) for m in network.modules() if not isinstance(m, nn.Sequential)] == [
        SyncedBatchNorm, SyncedBatchNorm, OddBatchNorm,
    ]  # fmt: skip
    assert network.state_dict().keys() == before.keys()
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(network[0].eval()(x), nn.BatchNorm2d(3).eval()(x))


def test_a_process_s_share_of_a_part_is_part_of_its_share() -> None:
    """A discriminator's batch may be the first images of a generator's."""
    whole = torch.arange(12)
    shares = [whole[World(torch.device("cpu"), rank, 3).share] for rank in range(3)]
    assert torch.cat(shares).sort().values.tolist() == whole.tolist()
    assert torch.cat([share[:2] for share in shares]).sort().values.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_checkpoint_of_another_number_of_processes_is_refused(
    tiny: Any, data: Any, tmp_path: Path, listener: Any
) -> None:
    training = Training(tiny(steps=1), data, tmp_path, listener)
    training.run()
    written = checkpoint.read_progress(checkpoint.folder_of(tmp_path / "checkpoints", 1))
    with pytest.raises(CheckpointError, match=r"trained on 1 device and can only go on with as many, not with 2"):
        written.check(data.data_sha256, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto", r"8 devices asked for, and the GPUs here are 2: choose --devices 2, or --device cpu"),
        ("cuda", r"8 devices asked for"),
        ("cuda:1", r"The device 'cuda:1' is one, where 8 are to be used: choose --device cuda or --devices 1"),
    ],
)
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=message):
        processes.take_device(name, 8)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let torch see so many GPUs, and one of eight processes be told what a launcher tells it."""

    def see(there: int, **told: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(processes, "working", lambda device: device)
        for name, value in {"WORLD_SIZE": "8", "RANK": "7", **told}.items():
            monkeypatch.setenv(name, value)

    return see


@pytest.mark.parametrize("told", [{}, {"LOCAL_WORLD_SIZE": "8"}, {"LOCAL_WORLD_SIZE": "1"}])
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_process_that_is_shown_one_gpu_takes_it(gpus: Any, name: str, told: dict[str, str]) -> None:
    """As Slurm does with --gpus-per-task=1."""
    gpus(1, LOCAL_RANK="7", **told)
    assert processes.take_device(name, 8) == torch.device("cuda", 0)


def test_processes_that_are_shown_all_gpus_take_one_each(gpus: Any) -> None:
    gpus(8, LOCAL_RANK="7")
    assert processes.take_device("auto", 8) == torch.device("cuda", 7)
    with pytest.raises(UsageError, match="The device 'cuda:0' is one, where 8 are to be used"):
        processes.take_device("cuda:0", 8)


def test_one_gpu_is_not_shared_by_torchrun_s_processes(gpus: Any) -> None:
    gpus(1, LOCAL_RANK="7", LOCAL_WORLD_SIZE="8", TORCHELASTIC_RUN_ID="none")
    with pytest.raises(UsageError, match=r"GPUs here are 1: choose 1 process \(torchrun --nproc-per-node 1\)"):
        processes.take_device("auto", 8)


def test_a_rank_without_a_gpu_is_refused(gpus: Any) -> None:
    gpus(2, LOCAL_RANK="7", LOCAL_WORLD_SIZE="2")
    with pytest.raises(UsageError, match=r"'cuda:7' is not there: torch .* sees 2 CUDA devices"):
        processes.take_device("auto", 8)


def test_gpus_that_cannot_be_reached_are_said_in_nccl_s_words() -> None:
    said = "NCCL error in: NCCLUtils.hpp:94, unhandled system error (run with NCCL_DEBUG=INFO for details)"
    told = rf"ended unexpectedly, or its GPU cannot be reached \({re.escape(said)}\); what it said"
    with pytest.raises(LostProcessError, match=told), collective():
        raise RuntimeError(f"{said}\nncclSystemError: System call failed.")

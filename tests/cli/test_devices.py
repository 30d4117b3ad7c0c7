"""`sngan train --devices 2`, and under torchrun: two processes over gloo, of which one leads."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sngan_cli.engine import processes
from sngan_cli.stopping import StopSignal

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sngan_cli"]


@pytest.fixture
def two(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Id of a run of two steps that two processes have trained."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = sngan("train", *tiny, "--steps", 2, "--devices", 2, "--set", "lr_decay=none")
    assert done.code == 0, done.err
    assert re.fullmatch(r"[0-9a-z]{8,14}\n", done.out)
    return done.out.strip()


@pytest.fixture
def to_the_follower(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send a signal to the second process when the first step is done, or another."""

    def send(number: int, step: int = 1) -> None:
        started: list[subprocess.Popen[bytes]] = []
        popen, asked, ask = subprocess.Popen, itertools.count(1), StopSignal.__call__

        def start(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
            started.append(popen(*arguments, **settings))
            return started[-1]

        def stop(self: StopSignal) -> bool:
            if next(asked) == step:
                started[0].send_signal(number)
            return ask(self)

        monkeypatch.setattr(processes.subprocess, "Popen", start)
        monkeypatch.setattr(StopSignal, "__call__", stop)

    return send


def test_a_run_of_two_processes_is_one_run_and_goes_on_as_such(
    sngan: Any, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sngan("runs", "show", two, "--json").json
    assert (run["status"], run["step"], run["config"]["devices"]) == ("finished", 2, 2)
    assert run["environment"]["device"] == "cpu (1 thread), 2 processes"
    assert [s["step"] for s in run["scalars"] if s["name"] == "loss_d"] == [1, 2]
    assert [s["step"] for s in run["scores"]] == [2]
    assert [c["step"] for c in run["checkpoints"]] == [2]

    for other in (4, 3):  # its batches are no multiple of 3
        refused = sngan("train", "--resume", two, "--steps", 4, "--devices", other)
        assert refused.code == 2
        wanted = f"cannot go on with {other}: resume it with --devices 2, .*--like {two} --devices {other}"
        assert re.search(f"trained on 2 devices and {wanted}", refused.err)
    with monkeypatch.context() as patched:
        patched.setenv("WORLD_SIZE", "4")
        refused = sngan("train", "--resume", two, "--steps", 4)
    assert refused.code == 2
    as_many = r"resume it with 2 processes \(torchrun --nproc-per-node 2\)"
    assert re.search(rf"cannot go on with 4: {as_many}, or .*`sngan train --like {two}`\.", refused.err), refused.err
    assert sngan("train", "--resume", two, "--steps", 4).code == 0  # on as many as before, without saying so
    run = sngan("runs", "show", two, "--json").json
    assert (run["status"], run["step"]) == ("finished", 4)
    assert [s["step"] for s in run["scalars"] if s["name"] == "loss_d"] == [1, 2, 3, 4]


def test_a_signal_to_one_process_stops_all_after_the_step(
    sngan: Any, tiny: list[str], to_the_follower: Callable[..., None]
) -> None:
    to_the_follower(signal.SIGTERM)
    done = sngan("train", *tiny, "--steps", 10000, "--devices", 2)
    assert done.code == 75, done.err
    assert re.search(r"interrupted after step \d+ of 10000, checkpoint written. Go on with: sngan train", done.err)
    run = sngan("runs", "show", "@last", "--json").json
    assert run["status"] == "interrupted"
    assert [c["step"] for c in run["checkpoints"]] == [run["step"]]


def test_a_process_that_dies_ends_the_run_as_failed(
    sngan: Any, tiny: list[str], to_the_follower: Callable[..., None]
) -> None:
    to_the_follower(signal.SIGKILL)
    done = sngan("train", *tiny, "--steps", 10000, "--devices", 2)
    assert done.code == 1
    assert "error: Another process that trains this run has ended unexpectedly" in done.err
    run = sngan("runs", "show", "@last", "--json").json
    assert run["status"] == "failed"
    assert "Another process" in run["reason"]
    assert f"No checkpoint was written yet. Begin again with: sngan train --like {run['id']}\n" in done.err


def test_where_a_process_has_died_it_is_said_how_to_go_on(
    sngan: Any, tiny: list[str], to_the_follower: Callable[..., None]
) -> None:
    to_the_follower(signal.SIGKILL, step=3)
    done = sngan("train", *tiny, "--steps", 10000, "--devices", 2, "--checkpoint-every", 1)
    assert done.code == 1
    assert re.search(rf"Go on from step [23] with: sngan train --resume {done.out.strip()}\n", done.err), done.err


def test_a_second_signal_to_all_ends_them_at_once(tiny: list[str]) -> None:
    """As from the keyboard: every process gets both."""
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "100000", "--devices", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()  # the id: training begins
        for _ in range(2):
            os.killpg(running.pid, signal.SIGINT)
            time.sleep(0.2)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said.count("stopped at once by a second signal") + said.count("interrupted after step") == 1, said
    assert "error" not in said


def test_divergence_ends_all_processes_and_is_said_once(sngan: Any, tiny: list[str]) -> None:
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "50", "--devices", "2", "--lr", "1e30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("Training diverged") == done.stderr.count("error:") == 1, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert sngan("runs", "show", "@last", "--json").json["reason"].startswith("Training diverged")


def test_torchrun_s_processes_train_one_run(sngan: Any, tiny: list[str]) -> None:
    command = [*TORCHRUN, "train", *tiny, "--steps", "2", "--conditional"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    (run,) = sngan("runs", "list", "--json").json
    assert done.stdout == f"{run['id']}\n"
    assert (run["status"], run["step"], run["config"]["devices"]) == ("finished", 2, 2)
    assert done.stderr.count("finished 2 steps") == 1


def test_torchrun_decides_on_the_number_of_devices(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = sngan("train", *tiny, "--steps", 1, "--devices", 4)
    assert refused.code == 2
    assert "--devices 4 is not what torchrun has started, 2 processes: leave it out" in refused.err
    assert "\ndevices = 2\n" in sngan("train", *tiny, "--steps", 1, "--dry-run").out
    monkeypatch.setenv("RANK", "1")
    assert sngan("train", *tiny, "--steps", 1, "--dry-run").out == ""


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE = 'x' is no number of 1 or more: torchrun sets it for the processes"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE = '0' is no number of 1 or more"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK = '-1' is no number of 0 or more"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, and RANK is not set: torchrun sets it for the processes"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE is 2, and MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "WORLD_SIZE is 2, and MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}, "WORLD_SIZE is 2, and MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "no"},
         "MASTER_PORT = 'no' is no number of 1 or more"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
         "RANK = 2 is not below WORLD_SIZE = 2"),
    ],
)  # fmt: skip
def test_what_is_not_as_torchrun_sets_it_is_named(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch, told: dict[str, str], message: str
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    refused = sngan("train", *tiny, "--steps", 1)
    assert refused.code == 2
    assert message in refused.err
    assert refused.err.endswith("Start them with it, or unset WORLD_SIZE.\n")


def test_a_batch_that_cannot_be_shared_evenly_is_refused(sngan: Any, tiny: list[str]) -> None:
    refused = sngan("train", *tiny, "--steps", 1, "--devices", 3)
    assert refused.code == 2
    assert "batch_size = 4 cannot be shared evenly by devices = 3" in refused.err

"""`sngan runs watch`: what another process trains, line by line, and the exit code that its training has."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import run_watching
from sngan_registry import Checkpoint, Environment, Event, NewRun, Scalar, Score, Status, Store

HERE = Environment(
    sngan="0", python="3", torch="2", cuda=None, device="cpu", host=socket.gethostname(), pid=os.getpid(),
    git_commit=None, command="sngan train",
)  # fmt: skip


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store.open(home / "registry.db") as opened:
        yield opened


@pytest.fixture
def run_id(store: Store) -> str:
    """A run of 100 steps that is queued, the last one of two."""
    settings = {"n_dis": 2, "batch_size": 5, "metrics": {"is": {}, "fid": {}}}
    new = NewRun(config=settings, components=(), environment=HERE, seed=0, steps=100, name="it")
    store.create_run(replace(new, name="another"))
    return store.create_run(new).id


def losses(store: Store, run_id: str, step: int, d: float, g: float) -> None:
    values = {"loss_d": d, "loss_g": g}
    store.add_scalars(run_id, [Scalar(name=name, step=step, value=value) for name, value in values.items()])


def score(store: Store, run_id: str, step: int, value: float, metric: str = "is", protocol: str = "n=10") -> None:
    how = "while training" if protocol == "n=10" else "last"
    store.add_score(run_id, Score(metric=metric, step=step, value=value, std=0.5, higher_is_better=metric == "is",
                                  protocol=protocol, evidence={"checkpoint": how}))  # fmt: skip


def save(store: Store, run_id: str, step: int) -> None:
    store.add_checkpoint(run_id, Checkpoint(step=step, path=f"checkpoints/{step}", size=1, sha256="0" * 64))


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have things happen between looks, one each; a look takes a second. There must be no look after the last."""

    def happen(*things: Callable[[], object]) -> None:
        now, left = [0.0], list(things)

        def sleep(seconds: float) -> None:
            assert seconds == 2
            now[0] += 1
            left.pop(0)()

        monkeypatch.setattr(run_watching.time, "sleep", sleep)
        monkeypatch.setattr(run_watching.time, "monotonic", lambda: now[0])

    return happen


def test_a_line_each_time_that_something_changes(
    sngan: Any, store: Store, run_id: str, meanwhile: Callable[..., None]
) -> None:
    nan = float("nan")
    meanwhile(
        lambda: store.claim(run_id, HERE),
        lambda: losses(store, run_id, 20, 1.25, -0.5),
        lambda: None,
        lambda: store.heartbeat(run_id, 30),
        lambda: score(store, run_id, 30, 2.5),
        lambda: score(store, run_id, 30, nan, "fid"),
        lambda: store.add_event(run_id, Event(kind="k", message="Something happened.", step=31)),
        lambda: losses(store, run_id, 60, nan, 0.125),
        lambda: None,
        lambda: store.heartbeat(run_id, 80),
        lambda: score(store, run_id, 90, 3.0),
        lambda: score(store, run_id, 90, 9.0, protocol="n=50"),
        lambda: store.close(run_id, Status.FINISHED, step=100),
    )
    done = sngan("runs", "watch")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "queued  step 0/100",
        "running  step 0/100",
        "running  step 20/100  loss D 1.250 G -0.500",
        "running  step 30/100  loss D 1.250 G -0.500",
        "step 30: is = 2.500 ± 0.500 (n=10)",
        "running  step 30/100  is = 2.500  loss D 1.250 G -0.500",
        "step 30: fid = nan ± 0.500 (n=10)",
        "step 31: Something happened.",
        "running  step 60/100  is = 2.500  loss D nan G +0.125",
        # 60 steps of 10 images in 8 s since the first that was seen, and 20 steps to go
        "running  step 80/100  is = 2.500  loss D nan G +0.125  75 images/s  0:00:03 left",
        "step 90: is = 3.000 ± 0.500 (n=10)",
        "running  step 80/100  is = 3.000  loss D nan G +0.125  75 images/s  0:00:03 left",
        "step 90: is = 9.000 ± 0.500 (n=50)",
        f"finished 100 steps, is = 3.000. See it with: sngan runs show {run_id}",
    ]


@pytest.mark.parametrize(
    ("status", "reason", "code", "said"),
    [
        (Status.FINISHED, None, 0, "finished 40 steps. See it with: sngan runs show {id}"),
        (Status.FAILED, "no space", 1, "failed after step 40 of 100: no space"),
        (
            Status.FAILED,
            "Training diverged: loss_d is NaN",
            5,
            "failed after step 40 of 100: Training diverged: loss_d",
        ),
        (
            Status.INTERRUPTED,
            None,
            75,
            "interrupted after step 40 of 100. There is no checkpoint to go on from. Begin again with: sngan train "
            "--like {id}",
        ),
    ],
)
def test_the_exit_code_is_that_of_the_training(
    sngan: Any, store: Store, run_id: str, status: Status, reason: str | None, code: int, said: str
) -> None:
    store.claim(run_id, HERE)
    store.close(run_id, status, step=40, reason=reason)
    done = sngan("runs", "watch", "it")
    assert done.code == code
    assert done.out.startswith(said.format(id=run_id))
    assert done.out.count("\n") == 1


@pytest.mark.parametrize(
    ("saved", "removed", "way"),
    [
        ([], [], "There is no checkpoint to go on from. Begin again with: sngan train --like {id}"),
        ([10], [10], "There is no checkpoint to go on from. Begin again with: sngan train --like {id}"),
        ([10, 20], [10], "Go on with: sngan train --resume {id}"),
    ],
)
def test_a_run_that_is_lost_has_failed(
    sngan: Any,
    store: Store,
    run_id: str,
    meanwhile: Callable[..., None],
    saved: list[int],
    removed: list[int],
    way: str,
) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    store.claim(run_id, replace(HERE, pid=process.pid))
    for step in saved:
        save(store, run_id, step)
    for step in removed:
        store.drop_checkpoint(run_id, step)
    meanwhile(process.communicate)
    done = sngan("runs", "watch", run_id[:-1])
    assert done.code == 1
    assert done.out.splitlines()[1:] == [
        f"lost after step {max(saved, default=0)} of 100: process {process.pid} on {HERE.host} gives no sign of life. "
        f"{way.format(id=run_id)}"
    ]


def test_going_back_is_no_progress(sngan: Any, store: Store, run_id: str, meanwhile: Callable[..., None]) -> None:
    def resume() -> None:
        store.close(run_id, Status.INTERRUPTED, step=90)
        store.claim(run_id, HERE)
        store.rewind(run_id, 10)

    store.claim(run_id, HERE)
    store.heartbeat(run_id, 90)
    steps = [(lambda step=step: store.heartbeat(run_id, step)) for step in (20, 30, 40, 50)]
    meanwhile(resume, *steps, lambda: store.close(run_id, Status.FINISHED, step=100))
    lines = sngan("runs", "watch").out.splitlines()
    assert lines[1:-1] == ["running  step 10/100", "running  step 20/100", "running  step 30/100",
                           "running  step 40/100", "running  step 50/100  100 images/s  0:00:05 left"]  # fmt: skip


def test_a_run_that_is_removed_is_watched_no_further(
    sngan: Any, store: Store, run_id: str, meanwhile: Callable[..., None]
) -> None:
    meanwhile(lambda: store.trash.put(run_id))
    done = sngan("runs", "watch")
    assert (done.code, done.out) == (3, "queued  step 0/100\n")
    assert f"`sngan runs restore {run_id}` gets it back" in done.err


def test_there_must_be_a_run_to_watch(sngan: Any) -> None:
    done = sngan("runs", "watch")
    assert (done.code, "There is no run '@last': the registry is empty" in done.err) == (3, True)
    assert sngan("runs", "watch", "--interval", 0).code == 2


def test_on_a_terminal_one_line_is_kept_up_to_date(store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    store.claim(run_id, HERE)
    losses(store, run_id, 20, 1.25, -0.5)
    terminal, program_end = os.openpty()
    command = [sys.executable, "-m", "sngan_cli", "runs", "watch", "it", "--interval", "0.1"]
    process = subprocess.Popen(command, stdout=program_end, stderr=program_end)
    os.close(program_end)
    shown = read_until(terminal, "20/100 loss D 1.250 G -0.500")
    assert "it running" in shown
    score(store, run_id, 20, 2.5)
    read_until(terminal, "step 20: is = 2.500 ± 0.500 (n=10)")
    save(store, run_id, 40)
    store.close(run_id, Status.INTERRUPTED, step=40)
    read_until(terminal, f"interrupted after step 40 of 100. Go on with: sngan train --resume {run_id}")
    os.close(terminal)
    assert process.wait(timeout=30) == 75


def read_until(terminal: int, text: str) -> str:
    """Read what is shown, without colours and cursor movements, until a text is; returns all that was read."""
    shown, deadline = "", time.monotonic() + 60
    while text not in (plain := re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)):
        assert time.monotonic() < deadline, plain
        shown += os.read(terminal, 100_000).decode(errors="replace")
    return plain


def test_leaving_off_does_not_stop_the_run(store: Store, run_id: str) -> None:
    store.claim(run_id, HERE)
    command = [sys.executable, "-m", "sngan_cli", "runs", "watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running  step 0/100\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert store.run(run_id).status is Status.RUNNING

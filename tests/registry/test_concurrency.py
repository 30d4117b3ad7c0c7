"""Real processes that open, write and claim at the same time, on every back end."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sngan_registry import Status, Store, database, reads

PROCESSES = 8
STEPS = 25

WRITER = """
import sys
from sngan_registry import Event, Scalar, Store
url, run_id, number = sys.argv[1:]
with Store.open(url) as store:
    sys.stdin.read()  # the start signal
    for step in range({steps}):
        store.heartbeat(run_id, step)
        store.add_scalars(run_id, [Scalar(name=f"loss_{{number}}", step=step, value=step)])
        store.update(run_id, add_tags=[f"{{number}}-{{step}}"])
        store.summaries()
    store.add_event(run_id, Event(kind="done", message=number))
"""

OPENER = """
import sys
from sngan_registry import Environment, NewRun, Store
sys.stdin.read()
environment = Environment(
    sngan="", python="", torch="", cuda=None, device="", host="", pid=1, git_commit=None, command=""
)
with Store.open(sys.argv[1]) as store:
    print(store.create_run(NewRun(config={}, components=(), environment=environment, seed=0, steps=1)).id)
"""

CLAIMER = """
import os, socket, sys
from sngan_registry import Environment, RunBusyError, RunRemovedError, Store
environment = Environment(
    sngan="", python="", torch="", cuda=None, device="", host=socket.gethostname(), pid=os.getpid(), git_commit=None,
    command="",
)
with Store.open(sys.argv[1]) as store:
    sys.stdin.readline()
    try:
        store.claim(sys.argv[2], environment)
        print("claimed", flush=True)
    except (RunBusyError, RunRemovedError):
        print("busy", flush=True)
    sys.stdin.read()  # stay alive: a claim dies with its process
"""

REMOVER = """
import sys
from sngan_registry import RunBusyError, Store
with Store.open(sys.argv[1]) as store:
    sys.stdin.readline()
    try:
        store.trash.put(sys.argv[2])
        print("removed", flush=True)
    except RunBusyError:
        print("busy", flush=True)
    sys.stdin.read()
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Give the start signal to all, and collect what they print."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [error for _, error in outputs] == [""] * len(processes)
    return [output.strip() for output, _ in outputs]


def test_writers_lose_nothing(url: str, store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    script = WRITER.format(steps=STEPS)
    finish([start(script, url, run_id, str(number)) for number in range(PROCESSES)])
    expected = {(f"loss_{number}", step) for number in range(PROCESSES) for step in range(STEPS)}
    assert {(scalar.name, scalar.step) for scalar in store.scalars(run_id)} == expected
    assert len(store.run(run_id).tags) == PROCESSES * STEPS
    assert sorted(event.message for event in store.events(run_id)) == [str(number) for number in range(PROCESSES)]


def test_a_fresh_registry_may_be_opened_by_several_at_once(url: str) -> None:
    ids = finish([start(OPENER, url) for _ in range(3)])
    with Store.open(url) as store:
        assert {summary.run.id for summary in store.summaries()} == set(ids)
    assert len(set(ids)) == 3


def answers_of(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Have all go at once; returns what each says, whose process lives on."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in processes if process.stdout is not None]


def test_one_of_several_claims_succeeds(url: str, store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    processes = [start(CLAIMER, url, run_id) for _ in range(3)]
    answers = answers_of(processes)
    assert sorted(answers) == ["busy", "busy", "claimed"]
    run = store.run(run_id)
    assert run.status is Status.RUNNING
    assert run.environment.pid == processes[answers.index("claimed")].pid
    finish(processes)
    assert store.run(run_id).status is Status.LOST


def test_a_run_is_claimed_or_removed_and_never_both(url: str, store: Store, new_run: Any) -> None:
    for _ in range(3):
        run_id = store.create_run(new_run()).id
        processes = [start(script, url, run_id) for script in (CLAIMER, REMOVER, CLAIMER, REMOVER)]
        first_claim, first_removal, *others = answers_of(processes)
        answers = {first_claim, first_removal, *others}
        assert len(answers & {"claimed", "removed"}) == 1
        is_removed = "removed" in answers
        assert [run.id for run in store.trash.runs()].count(run_id) == is_removed
        assert [s.run.id for s in store.summaries(status=Status.RUNNING)].count(run_id) == (not is_removed)
        finish(processes)


def test_queries_that_belong_together_see_one_state(url: str, store: Store, new_run: Any) -> None:
    if url.startswith("sqlite"):
        pytest.skip("without its WAL mode a reader keeps writers out")
    run = store.create_run(new_run(name="before"))
    with database.reading(store._engine) as connection:
        assert reads.run(connection, run.id).name == "before"
        store.update(run.id, name="after")
        assert reads.run(connection, run.id).name == "before"
    assert store.run(run.id).name == "after"


def test_threads_share_a_store(store: Store, new_run: Any) -> None:
    runs = [store.create_run(new_run()).id for _ in range(4)]

    def beat(run_id: str) -> None:
        for step in range(20):
            store.heartbeat(run_id, step)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(beat, runs))
    assert [store.run(run_id).step for run_id in runs] == [19] * 4


def test_writers_lose_nothing_in_wal_mode(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, new_run: Any) -> None:
    path = tmp_path / "registry.db"
    monkeypatch.setattr(database, "wal_is_safe", lambda _: True)
    in_wal_mode = "from sngan_registry import database\ndatabase.wal_is_safe = lambda _: True\n"
    with Store.open(path) as store:
        run_id = store.create_run(new_run()).id
        script = in_wal_mode + WRITER.format(steps=10)
        finish([start(script, str(path), run_id, str(number)) for number in range(4)])
        assert len(store.scalars(run_id)) == len(store.run(run_id).tags) == 40

"""What the engine reports reaches the registry, even one that is away for a while."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import recording
from sngan_cli.events import (
    CheckpointRemoved,
    CheckpointWritten,
    Compiling,
    Noticed,
    SamplesDrawn,
    Saving,
    Scored,
    Stepped,
)
from sngan_cli.recording import Recorder
from sngan_cli.run_folder import describe_folder, read
from sngan_cli.stopping import StopAtOnceError
from sngan_registry import Environment, NewRun, RegistryError, RunRemovedError, RunTakenError, Status, Store

ENVIRONMENT = Environment(
    sngan="0", python="3", torch="2", cuda=None, device="cpu", host="elsewhere", pid=1, git_commit=None, command="c"
)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "registry.db") as opened:
        yield opened


@pytest.fixture
def run_id(store: Store) -> str:
    run = store.create_run(NewRun(config={}, components=(), environment=ENVIRONMENT, seed=0, steps=5))
    return store.claim(run.id, ENVIRONMENT).id


@pytest.fixture
def folder(tmp_path: Path, run_id: str) -> Path:
    made = tmp_path / "runs" / run_id
    (made / "checkpoints" / "step-00000002").mkdir(parents=True)
    return made


def scored(step: int) -> Scored:
    return Scored(step, "is", 2.5, 0.1, True, "p", {"images": 10, "generator_weights": "raw"})


def test_events_become_records(store: Store, run_id: str, folder: Path) -> None:
    with Recorder(store, run_id, folder, pytest.fail) as recorder:
        recorder(Compiling(0))
        recorder(Stepped(1, {"loss_d": 1.5, "loss_g": -0.5}))
        recorder(Stepped(2))
        recorder(scored(2))
        recorder(CheckpointWritten(2, folder / "checkpoints" / "step-00000002", 123, "a" * 64))
        recorder(Noticed(2, "pinned", "so it is"))
        recorder.ended("finished", 2)
    assert [(s.name, s.step, s.value) for s in store.scalars(run_id)] == [("loss_d", 1, 1.5), ("loss_g", 1, -0.5)]
    assert [(s.metric, s.value, s.evidence["images"]) for s in store.scores(run_id)] == [("is", 2.5, 10)]
    assert [c.path for c in store.checkpoints(run_id)] == ["checkpoints/step-00000002"]
    assert [(e.kind, e.step) for e in store.events(run_id)] == [("compiling", 0), ("pinned", 2)]
    assert store.events(run_id)[1].message == "so it is"
    run = store.run(run_id)
    assert (run.status, run.step) == (Status.FINISHED, 2)
    described = json.loads((folder / "run.json").read_text())
    assert described["run"]["id"] == run_id
    assert described["scores"][0]["value"] == 2.5
    assert (folder / "scalars.csv").read_text() == "name,step,value\nloss_d,1,1.5\nloss_g,1,-0.5\n"


def test_losses_wait_no_longer_than_they_may(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(store, run_id, folder, pytest.fail) as recorder:
        monkeypatch.setattr(recording, "FLUSH", 3600.0)
        recorder(Stepped(1, {"loss_d": 1.5}))
        assert store.scalars(run_id) == ()
        monkeypatch.setattr(recording, "FLUSH", -1.0)
        recorder(Stepped(2, {"loss_d": 0.5}))
        assert [(each.step, each.value) for each in store.scalars(run_id)] == [(1, 1.5), (2, 0.5)]


def test_a_folder_is_described_once_a_checkpoint_has_its_sheet(store: Store, run_id: str, folder: Path) -> None:
    sheet = folder / "sheet.png"
    sheet.write_bytes(b"picture")
    with Recorder(store, run_id, folder, pytest.fail) as recorder:
        recorder.describe()
        assert json.loads((folder / "run.json").read_text())["run"]["status"] == "running"
        recorder(Stepped(1, {"loss_d": float("nan")}))
        recorder(CheckpointWritten(2, folder / "checkpoints" / "step-00000002", 123, "a" * 64))
        assert json.loads((folder / "run.json").read_text())["checkpoints"] == []
        recorder(CheckpointRemoved(2))
        recorder(SamplesDrawn(2, sheet))
        described = json.loads((folder / "run.json").read_text())
        assert [(c["step"], c["deleted"] is None) for c in described["checkpoints"]] == [(2, False)]
        assert [a["path"] for a in described["artifacts"]] == ["sheet.png"]
        assert (folder / "scalars.csv").read_text() == "name,step,value\nloss_d,1,nan\n"
        recorder.ended("finished", 2)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "run.json", "scalars.csv", "sheet.png"]


def test_a_folder_that_cannot_be_described_is_told(store: Store, run_id: str, tmp_path: Path) -> None:
    warned: list[str] = []
    describe_folder(store, run_id, tmp_path / "missing", warned.append)
    assert warned == [
        f"{tmp_path / 'missing' / name} cannot be written: No such file or directory."
        for name in ("scalars.csv", "run.json")
    ]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(RuntimeError("boom"), Status.FAILED, "boom"), (StopAtOnceError(), Status.INTERRUPTED, "interrupted")],
)
def test_an_exception_closes_the_run_with_its_reason(
    store: Store, run_id: str, folder: Path, error: BaseException, status: Status, reason: str
) -> None:
    def fail() -> None:
        with Recorder(store, run_id, folder, pytest.fail) as recorder:
            recorder(Stepped(3))
            recorder(CheckpointRemoved(2))
            raise error

    with pytest.raises(type(error)):
        fail()
    run = store.run(run_id)
    assert (run.status, run.reason, run.step) == (status, reason, 3)


def test_a_record_that_cannot_be_written_does_not_keep_the_run_open(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")

    monkeypatch.setattr(recording, "PATIENCE", 0)
    monkeypatch.setattr(store, "add_event", fail)
    recorder = Recorder(store, run_id, folder, pytest.fail)
    with pytest.raises(UnicodeEncodeError), recorder:
        recorder.tell("skipped", "?")
    assert store.run(run_id).status is Status.FAILED


def test_a_run_that_was_taken_over_is_left_to_the_other(
    store: Store, run_id: str, folder: Path, tmp_path: Path
) -> None:
    recorder = Recorder(store, run_id, folder, pytest.fail)

    def train() -> None:
        with recorder:
            recorder(Noticed(1, "a", "before"))
            with Store.open(tmp_path / "registry.db") as other:
                other.close(run_id, Status.INTERRUPTED, step=1)
                other.claim(run_id, replace(ENVIRONMENT, pid=2))
            recorder(Noticed(2, "b", "after"))
            assert recorder.taken is not None
            recorder.ended("interrupted", 2)

    with pytest.raises(RunTakenError, match="was taken over by process 2 on elsewhere"):
        train()
    assert store.run(run_id).status is Status.RUNNING
    assert [event.message for event in store.events(run_id)] == ["before"]


@pytest.mark.parametrize(
    "event", [Saving(2), CheckpointWritten(2, Path("checkpoints/step-00000002"), 123, "a" * 64), CheckpointRemoved(1)]
)
def test_checkpoints_of_a_run_that_was_taken_over_are_left_alone(
    store: Store, run_id: str, folder: Path, tmp_path: Path, event: Any
) -> None:
    if isinstance(event, CheckpointWritten):
        event = replace(event, folder=folder / event.folder)
    recorder = Recorder(store, run_id, folder, pytest.fail)
    recorder(event)
    with Store.open(tmp_path / "registry.db") as other:
        other.close(run_id, Status.INTERRUPTED, step=1)
        other.claim(run_id, replace(ENVIRONMENT, pid=2))
    with pytest.raises(RunTakenError):
        recorder(event)


def test_a_run_that_was_removed_meanwhile_is_trained_no_further(store: Store, run_id: str, folder: Path) -> None:
    recorder = Recorder(store, run_id, folder, pytest.fail)

    def train() -> None:
        with recorder:
            recorder(Noticed(1, "a", "before"))
            store.close(run_id, Status.INTERRUPTED, step=1)  # as if its heartbeat had stopped
            store.trash.put(run_id)
            recorder(Noticed(2, "b", "after"))
            assert recorder.taken is not None
            recorder.ended("interrupted", 2)

    with pytest.raises(RunRemovedError, match=f"Run {run_id} is in the trash"):
        train()
    assert [run.step for run in store.trash.runs()] == [1]
    assert [event.message for event in store.events(run_id)] == ["before"]


def test_records_wait_while_the_registry_is_away(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    add_score, calls = store.add_score, iter([True, True, False, False, False])

    def sometimes(run_id: str, score: Any) -> None:
        if next(calls):
            raise RegistryError("the registry is locked")
        add_score(run_id, score)

    monkeypatch.setattr(store, "add_score", sometimes)
    with Recorder(store, run_id, folder, warned.append) as recorder:
        recorder(scored(1))
        recorder(scored(2))
        recorder(scored(3))
        recorder.ended("finished", 3)
    assert [s.step for s in store.scores(run_id)] == [1, 2, 3]
    assert len(warned) == 1
    assert "the registry is locked" in warned[0]


def test_a_registry_that_is_slow_to_fail_does_not_hold_up_training(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_score, tries = store.add_score, list[int]()

    def slowly(run_id: str, score: Any) -> None:
        tries.append(score.step)
        if len(tries) == 1:
            time.sleep(0.5)
            raise RegistryError("the machine does not answer")
        add_score(run_id, score)

    monkeypatch.setattr(store, "add_score", slowly)
    with Recorder(store, run_id, folder, lambda text: None) as recorder:
        for step in (1, 2, 3):
            recorder(scored(step))
        assert tries == [1]
        recorder.ended("finished", 3)
    assert tries == [1, 1, 2, 3]
    assert [s.step for s in store.scores(run_id)] == [1, 2, 3]


def test_a_registry_that_does_not_answer_does_not_hold_up_training(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ANSWER", 0.3)
    warned, thawed, add_event = list[str](), threading.Event(), store.add_event

    def frozen(run_id: str, event: Any) -> None:
        assert thawed.wait(60)
        add_event(run_id, event)

    monkeypatch.setattr(store, "add_event", frozen)
    begun = time.monotonic()
    with Recorder(store, run_id, folder, warned.append) as recorder:
        recorder.describe()
        for step in (1, 2, 3):
            recorder(Noticed(step, "a", f"step {step}"))
            recorder(scored(step))
        recorder.describe()
        assert time.monotonic() - begun < 5
        assert [each["message"] for each in read(folder).values["events"]] == ["step 1", "step 2", "step 3"]
        assert store.events(run_id) == ()
        thawed.set()
        recorder.ended("finished", 3)
    assert re.match(r"The registry cannot be written \(The registry .* does not answer.*\); training goes", warned[0])
    assert [each.message for each in store.events(run_id)] == ["step 1", "step 2", "step 3"]
    assert [each.step for each in store.scores(run_id)] == [1, 2, 3]
    assert store.run(run_id).status is Status.FINISHED


def test_a_registry_that_another_program_has_locked_is_said_to_be(
    store: Store, run_id: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ANSWER", 0.3)
    warned = list[str]()
    with (
        closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as other,
        Recorder(store, run_id, folder, warned.append) as recorder,
    ):
        other.execute("BEGIN EXCLUSIVE")
        recorder(scored(1))
        other.execute("ROLLBACK")
        monkeypatch.setattr(recording, "ANSWER", 60.0)  # however busy the machine is
        recorder.ended("finished", 1)
    assert re.match(
        r"The registry cannot be written \(The registry /.*registry\.db does not answer: another program may keep it "
        r"locked, so wait until that is done, or end it\); training goes on, its",
        warned[0],
    )
    assert [s.step for s in store.scores(run_id)] == [1]


def test_a_registry_that_never_answers_is_told_of_when_the_run_ends(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ANSWER", 0.3)
    monkeypatch.setattr(recording, "PATIENCE", 0)
    never = threading.Event()
    recorder = Recorder(store, run_id, folder, [].append)

    def train() -> None:
        with recorder:
            recorder.describe()
            monkeypatch.setattr(store, "add_event", lambda run_id, event: never.wait(60))
            recorder(Noticed(1, "a", "step 1"))
            recorder.ended("finished", 1)

    with pytest.raises(
        RegistryError, match=rf"^The registry .* does not answer: .* What was recorded last of run {run_id}"
    ):
        train()
    described = read(folder).values
    assert (described["run"]["status"], [each["message"] for each in described["events"]]) == ("finished", ["step 1"])
    never.set()


def test_records_are_written_one_after_another_where_a_signal_breaks_off_the_wait(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 takes a thread for ended where a signal breaks off waiting for it."""
    add_event, begun = store.add_event, threading.Event()

    def slowly(run_id: str, event: Any) -> None:
        begun.set()
        time.sleep(0.5)
        add_event(run_id, event)

    def stop(*_: object) -> None:
        raise StopAtOnceError

    monkeypatch.setattr(store, "add_event", slowly)
    before = signal.signal(signal.SIGUSR1, stop)
    stopper = threading.Thread(target=lambda: (begun.wait(60), time.sleep(0.1), os.kill(os.getpid(), signal.SIGUSR1)))
    stopper.start()
    try:
        with pytest.raises(StopAtOnceError), Recorder(store, run_id, folder, pytest.fail) as recorder:
            recorder(Noticed(1, "a", "once"))
    finally:
        stopper.join()
        signal.signal(signal.SIGUSR1, before)
    assert [event.message for event in store.events(run_id)] == ["once"]
    assert store.run(run_id).status is Status.INTERRUPTED


@pytest.mark.parametrize("frozen", ["heartbeat", "add_event"])
def test_a_signal_while_the_end_of_a_run_is_recorded_leaves_it_told_in_its_folder(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch, frozen: str
) -> None:
    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    monkeypatch.setattr(recording, "ANSWER", 0.3 if frozen == "add_event" else 60)
    begun, never = threading.Event(), threading.Event()

    def freeze(*_: object) -> None:
        begun.set()
        never.wait(60)

    def stop(*_: object) -> None:
        raise StopAtOnceError

    before = signal.signal(signal.SIGUSR1, stop)
    stopper = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGUSR1))

    def train() -> None:
        with Recorder(store, run_id, folder, [].append) as recorder:
            recorder.describe()
            monkeypatch.setattr(store, frozen, freeze)
            if frozen == "add_event":
                recorder(Noticed(1, "a", "step 1"))
            assert begun.wait(60)
            recorder.ended("finished", 1)
            stopper.start()

    try:
        with pytest.raises(StopAtOnceError):
            train()
    finally:
        stopper.join()
        signal.signal(signal.SIGUSR1, before)
    assert (told := read(folder).values["run"])["status"] == "finished", told
    never.set()


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace_by_another(path: Path) -> None:
    move_away(path)
    with Store.open(path):
        pass


def copy_another_over_it(path: Path) -> None:
    other = path.with_name("other.db")
    with Store.open(other):
        pass
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (Path.unlink, "registry.db was moved or deleted while it was in use: put it back where it was."),
        (move_away, "registry.db was moved or deleted while it was in use: put it back where it was."),
        (replace_by_another, "registry.db was replaced by another file while it was in use: put it back where it was."),
        (copy_another_over_it, "`sngan runs list` shows them all."),
    ],
)
def test_a_registry_that_is_lost_meanwhile_is_told_of_and_the_folder_tells_the_run(
    store: Store, run_id: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lose: Any, said: str
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 0)
    sheet, registry, warned = folder / "sheet.png", tmp_path / "registry.db", list[str]()
    sheet.write_bytes(b"picture")
    recorder = Recorder(store, run_id, folder, warned.append)

    def train() -> None:
        with recorder:
            recorder.describe()
            recorder(Stepped(1, {"loss_d": 1.5}))
            recorder(scored(1))
            lose(registry)
            recorder(Stepped(2, {"loss_d": 0.5}))
            recorder(CheckpointWritten(2, folder / "checkpoints" / "step-00000002", 123, "a" * 64))
            recorder(Noticed(2, "pinned", "so it is"))
            recorder(SamplesDrawn(2, sheet))
            described = json.loads((folder / "run.json").read_text())
            assert (described["run"]["status"], described["run"]["step"]) == ("running", 2)
            recorder(scored(3))
            assert recorder.taken is None
            recorder.ended("finished", 3)

    with pytest.raises(RegistryError) as raised:
        train()
    assert len(warned) == 2
    assert said.removesuffix(".") in warned[0]
    assert warned[1] == "The run has ended; its records wait 0 s for the registry."
    assert warned[0].endswith(f"training goes on, its records wait, and {folder} tells them.")
    assert said in str(raised.value)
    assert str(raised.value).endswith(f"All of run {run_id} is in {folder}: `sngan registry rebuild` takes it in.")
    described = read(folder)
    assert (described.values["run"]["status"], described.values["run"]["step"]) == ("finished", 3)
    assert [score["step"] for score in described.values["scores"]] == [1, 3]
    assert [each["step"] for each in described.values["checkpoints"]] == [2]
    assert [each["message"] for each in described.values["events"]] == ["so it is"]
    assert [(each.step, each.value) for each in described.scalars] == [(1, 1.5), (2, 0.5)]
    assert registry.exists() == (lose not in (Path.unlink, move_away))


def test_a_registry_that_is_put_back_learns_all(store: Store, run_id: str, folder: Path, tmp_path: Path) -> None:
    registry, warned = tmp_path / "registry.db", list[str]()
    with Recorder(store, run_id, folder, warned.append) as recorder:
        recorder.describe()
        move_away(registry)
        recorder(scored(1))
        recorder(Noticed(1, "a", "away"))
        recorder(Noticed(1, "a", "still"))
        recorder.describe()
        assert [each["message"] for each in read(folder).values["events"]] == ["away", "still"]
        (tmp_path / "moved.db").rename(registry)
        recorder(scored(2))
        recorder.ended("finished", 2)
    assert len(warned) == 1
    assert [score.step for score in store.scores(run_id)] == [1, 2]
    assert [event.message for event in store.events(run_id)] == ["away", "still"]
    assert store.run(run_id).status is Status.FINISHED
    assert [each["message"] for each in read(folder).values["events"]] == ["away", "still"]


def test_a_folder_tells_what_waits_for_a_registry_that_can_be_read_alone(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run_id: str, score: Any) -> None:
        raise RegistryError("attempt to write a readonly database")

    with Recorder(store, run_id, folder, [].append) as recorder:
        recorder.describe()
        with monkeypatch.context() as patched:
            patched.setattr(store, "add_score", refuse)
            recorder(scored(3))
            recorder.describe()
        described = read(folder).values
        assert [score["step"] for score in described["scores"]] == [3]
        assert (described["run"]["status"], described["run"]["step"]) == ("running", 3)
        recorder.ended("finished", 3)
    assert [score.step for score in store.scores(run_id)] == [3]


def test_a_disk_that_fills_leaves_the_description_that_was_there(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str, **more: Any) -> None:
        write(path, text[:10], **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    warned: list[str] = []
    describe_folder(store, run_id, folder, warned.append)
    before, write = (folder / "run.json").read_bytes(), Path.write_text
    store.update(run_id, note="a note")
    monkeypatch.setattr(Path, "write_text", full)
    describe_folder(store, run_id, folder, warned.append)
    assert (folder / "run.json").read_bytes() == before
    assert f"{folder / 'run.json'} cannot be written: No space left on device." in warned


def test_a_folder_keeps_the_parent_of_its_run_while_the_registry_is_away(
    store: Store, run_id: str, folder: Path, tmp_path: Path
) -> None:
    new = NewRun(config={}, components=(), environment=ENVIRONMENT, seed=0, steps=5, parent=run_id)
    child = store.create_run(new).id
    with Recorder(store, child, folder, [].append) as recorder:
        recorder.describe()
        move_away(tmp_path / "registry.db")
        recorder(scored(1))
        recorder.describe()
        described = read(folder).values
        assert (described["run"]["parent"], len(described["scores"])) == (run_id, 1)
        (tmp_path / "moved.db").rename(tmp_path / "registry.db")


def test_a_damaged_description_is_told_where_the_registry_is_away(
    store: Store, run_id: str, folder: Path, tmp_path: Path
) -> None:
    warned: list[str] = []
    with Recorder(store, run_id, folder, warned.append) as recorder:
        recorder.describe()
        sound = (folder / "run.json").read_text()
        (folder / "run.json").write_text("{")
        move_away(tmp_path / "registry.db")
        recorder(scored(1))
        recorder.describe()
        (folder / "run.json").write_text(sound)  # from a copy: what could not be told then is told now
        recorder.describe()
        assert [score["step"] for score in read(folder).values["scores"]] == [1]
        (tmp_path / "moved.db").rename(tmp_path / "registry.db")
    assert warned[1].startswith(f"{folder / 'run.json'} cannot be brought up to date: run.json is damaged (")
    assert len(read(folder).values["scores"]) == 1


def test_a_heartbeat_keeps_the_run_alive(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    before = store.run(run_id).heartbeat
    with Recorder(store, run_id, folder, pytest.fail) as recorder:
        recorder(Stepped(4))
        deadline = time.monotonic() + 10
        while store.run(run_id).step != 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        during = store.run(run_id)
    assert during.step == 4
    assert during.status == Status.RUNNING
    assert during.heartbeat is not None
    assert before is not None
    assert during.heartbeat > before


def test_a_heartbeat_that_fails_is_followed_by_others(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    tries, again = list[int](), threading.Event()

    def away_at_first(run_id: str, step: int) -> None:
        tries.append(step)
        if len(tries) == 1:
            raise RegistryError("the registry is away")
        again.set()

    monkeypatch.setattr(store, "heartbeat", away_at_first)
    with Recorder(store, run_id, folder, pytest.fail):
        assert again.wait(10)


def test_a_run_that_a_heartbeat_finds_taken_over_is_trained_no_further(
    store: Store, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    begun = threading.Event()

    def find_it_taken(run_id: str, step: int) -> None:
        begun.set()
        raise RunTakenError(run_id, "there", 2)

    monkeypatch.setattr(store, "heartbeat", find_it_taken)
    recorder = Recorder(store, run_id, folder, pytest.fail)

    def train() -> None:
        with recorder:
            assert begun.wait(10)

    with pytest.raises(RunTakenError, match="was taken over by process 2 on there"):
        train()
    assert not (folder / "run.json").exists()

"""Taking in a run as it is described: the same as it was, or nothing."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sngan_registry import Artifact, Checkpoint, Event, Scalar, Score, Status, Store, database, restoring
from sngan_registry.ids import is_run_id, new_run_id, time_of

CURVE = [Scalar(name="loss_d", step=1, value=0.5), Scalar(name="loss_d", step=2, value=float("inf"))]


def described(store: Store, run_id: str) -> dict[str, Any]:
    """A run as a file of JSON has it."""
    record = {
        "run": asdict(store.run(run_id)),
        **{
            kind: [asdict(each) for each in getattr(store, kind)(run_id)]
            for kind in ("components", "scores", "checkpoints", "artifacts", "events")
        },
    }
    values: dict[str, Any] = json.loads(json.dumps(record, default=str))
    return values


@pytest.fixture
def run_id(tmp_path: Path, new_run: Any) -> str:
    with source(tmp_path) as store:
        run_id: str = store.create_run(new_run(name="it", tags=("b", "a"), note="so", data_sha256="c" * 64)).id
    return run_id


def source(folder: Path) -> Store:
    return Store.open(folder / "source.db")


@pytest.fixture
def values(tmp_path: Path, run_id: str, environment: Any) -> dict[str, Any]:
    """A finished run with all that a run can have."""
    with source(tmp_path) as store:
        store.claim(run_id, environment)
        for step, evidence in ((2, {"generator_weights": "raw"}), (4, {"generator_weights": "averaged", "seed": 3})):
            score = Score(metric="is", value=2.5, std=0.1, higher_is_better=True, protocol="p", evidence=evidence,
                          step=step)  # fmt: skip
            store.add_score(run_id, score)
            store.add_checkpoint(run_id, Checkpoint(step=step, path=f"checkpoints/{step}", size=9, sha256="a" * 64))
        store.drop_checkpoint(run_id, 2)
        store.add_artifact(run_id, Artifact(kind="samples", path="samples/4.png", size=3, sha256="b" * 64, step=4))
        store.add_event(run_id, Event(kind="moved", message="to the CPU", step=3))
        store.add_event(run_id, Event(kind="resumed", message="again"))
        store.close(run_id, Status.FINISHED, step=4)
        return described(store, run_id)


def test_a_run_comes_back_as_it_was(store: Store, run_id: str, values: dict[str, Any]) -> None:
    run = store.restore(values, CURVE)
    assert run is not None
    assert run == store.get("it")
    assert described(store, run_id) == values
    assert store.scalars(run_id) == tuple(CURVE)
    assert store.restore({**values, "run": {**values["run"], "note": "another"}}, ()) is None
    assert described(store, run_id) == values


def test_a_run_that_is_lost_takes_in_how_it_went_on_and_no_other_does(
    store: Store, run_id: str, values: dict[str, Any], environment: Any, new_run: Any, dead_pid: int
) -> None:
    running = {**values["run"], "status": "running", "ended": None, "step": 2}
    running["environment"] = {**running["environment"], "pid": dead_pid}
    before = {**values, "run": running, "scores": values["scores"][:1], "events": []}
    store.restore(before, CURVE[:1])
    child = store.create_run(new_run(parent=run_id))
    store.update(run_id, name="other", note="lost", add_tags=["c"])
    assert store.restore({**values, "run": {**values["run"], "ended": "2020-01-01T00:00:00+00:00"}}, CURVE) is None
    assert store.restore(before, CURVE) is None
    with pytest.raises(ValueError, match="3 is no record for scores"):
        store.restore({**values, "scores": [3]}, CURVE)
    assert (store.run(run_id).status, len(store.scores(run_id))) == (Status.LOST, 1)
    assert store.restore(values, CURVE) is not None
    labels = {"name": "other", "note": "lost", "tags": ["a", "b", "c"]}
    assert described(store, run_id) == {**values, "run": {**values["run"], **labels}}
    assert store.scalars(run_id) == tuple(CURVE)
    assert store.run(child.id).parent == run_id
    store.claim(run_id, environment)
    assert store.restore(values, CURVE) is None  # it is being trained


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_a_run_that_ended_takes_in_how_it_was_trained_on_and_forgets_what_it_went_back_before(
    store: Store, run_id: str, values: dict[str, Any], status: str
) -> None:
    values["events"] = [{"kind": "resumed", "message": "so", "step": 2, "created": "2020-01-01T00:00:00+00:00"}]
    store.restore({**values, "run": {**values["run"], "status": status}}, CURVE)
    longer = {**values["run"], "ended": "2100-01-01T00:00:00+00:00", "step": 9}
    on = {**values, "run": longer, "scores": values["scores"][:1]}
    assert store.restore(on, ()) is not None
    assert (store.run(run_id).step, len(store.scores(run_id))) == (9, 2)
    assert [event.message for event in store.events(run_id)] == ["so"]
    resumed = {**values["events"][0], "step": 1, "created": "2100-01-02T00:00:00+00:00"}
    back = {**on, "run": {**longer, "ended": "2100-01-03T00:00:00+00:00"}, "events": [resumed]}
    assert store.restore(back, ()) is not None
    assert [score.step for score in store.scores(run_id)] == [2]
    assert store.scalars(run_id) == tuple(CURVE[:1])
    assert [event.step for event in store.events(run_id)] == [2, 1]


def test_a_lost_run_takes_in_how_it_went_on_until_it_was_lost_again(
    store: Store, run_id: str, values: dict[str, Any], dead_pid: int
) -> None:
    running = {**values["run"], "status": "running", "ended": None}
    running["environment"] = {**running["environment"], "pid": dead_pid}
    store.restore({**values, "run": running}, CURVE[:1])
    on = {**running, "heartbeat": "2100-01-01T00:00:00+00:00", "step": 9}
    assert store.restore({**values, "run": on}, CURVE) is not None
    assert (store.run(run_id).status, store.run(run_id).step) == (Status.LOST, 9)
    assert store.scalars(run_id) == tuple(CURVE)


def test_a_removed_run_takes_nothing_in(store: Store, run_id: str, values: dict[str, Any]) -> None:
    store.restore(values, ())
    store.trash.put(run_id)
    before = store.trash.get(run_id)
    longer = {**values["run"], "ended": "2100-01-01T00:00:00+00:00", "step": 9}
    assert store.restore({**values, "run": longer}, CURVE) is None
    assert (store.trash.get(run_id), store.scalars(run_id)) == (before, ())


def test_a_run_that_goes_on_keeps_its_parent(store: Store, run_id: str, values: dict[str, Any], new_run: Any) -> None:
    parent = store.create_run(new_run()).id
    store.restore({**values, "run": {**values["run"], "parent": parent}}, ())
    longer = {**values["run"], "ended": "2100-01-01T00:00:00+00:00", "parent": None}
    run = store.restore({**values, "run": longer}, ())
    assert run is not None
    assert run.parent == parent


def test_of_two_that_take_in_a_run_at_once_one_does(store: Store, run_id: str, values: dict[str, Any]) -> None:
    with ThreadPoolExecutor() as pool:
        with database.writing(store._engine) as connection:
            assert restoring.restore(connection, values, ()) == run_id
            second = pool.submit(store.restore, values, CURVE)
            wait([second], timeout=0.5)
        assert second.result(timeout=60) is None
    assert described(store, run_id) == values


def test_scores_are_replaced_as_they_would_have_been(store: Store, run_id: str, values: dict[str, Any]) -> None:
    store.restore(values, ())
    again = Score(metric="is", value=7.0, std=None, higher_is_better=True, protocol="p",
                  evidence={"generator_weights": "averaged", "seed": 3}, step=4)  # fmt: skip
    store.add_score(run_id, again)
    assert [(score.step, score.value) for score in store.scores(run_id)] == [(2, 2.5), (4, 7.0)]


def test_values_that_json_does_not_know(store: Store, run_id: str, values: dict[str, Any]) -> None:
    values["scores"][0]["value"], values["scores"][1]["value"] = None, "-inf"
    store.restore(values, ())
    nan, infinite = store.scores(run_id)
    assert math.isnan(nan.value)
    assert infinite.value == -math.inf


@pytest.mark.parametrize("status", ["running", "lost"])
def test_a_run_that_was_being_trained_is_lost_and_can_be_claimed(
    store: Store, run_id: str, values: dict[str, Any], status: str, environment: Any, dead_pid: int
) -> None:
    values["run"] |= {"status": status, "heartbeat": None, "ended": None}
    values["run"]["environment"]["pid"] = dead_pid
    run = store.restore(values, ())
    assert run is not None
    assert run.status is Status.LOST
    assert [found.run.id for found in store.summaries(status=Status.LOST)] == [run_id]
    assert store.claim(run_id, environment).status is Status.RUNNING


@pytest.mark.parametrize(
    ("told", "recorded", "known"),
    [
        ("The data are 5 pictures, SHA-256 {}.", None, "e"),
        ("They are {}.", None, None),
        ("The data are 5 pictures, SHA-256 {}.", "c", "c"),
    ],
)
def test_data_that_only_an_event_tells_of_are_known(
    store: Store, run_id: str, values: dict[str, Any], told: str, recorded: str | None, known: str | None
) -> None:
    """As in what was described before there was a place for it."""
    if recorded is None:
        del values["run"]["data_sha256"]
    values["events"].append({**values["events"][0], "kind": "data", "message": told.format("e" * 64)})
    run = store.restore(values, ())
    assert run is not None
    assert run.data_sha256 == (known and known * 64)


def test_a_parent_that_is_not_there_is_left_out(store: Store, values: dict[str, Any], new_run: Any) -> None:
    there = store.create_run(new_run())
    values["run"]["parent"] = there.id
    run = store.restore(values, ())
    assert run is not None
    assert run.parent == there.id
    values["run"] |= {"id": new_run_id(datetime.now(UTC)), "parent": "1m88mm6bzf6"}
    other = store.restore(values, ())
    assert other is not None
    assert other.parent is None


def test_what_no_column_holds_is_passed_over_and_what_is_null_may_be_missing(
    store: Store, run_id: str, values: dict[str, Any]
) -> None:
    values["run"] |= {"mood": "good"}
    values["checkpoints"][0] |= {"colour": "red"}
    del values["run"]["note"], values["run"]["parent"], values["run"]["tags"], values["events"]
    run = store.restore(values, ())
    assert run is not None
    assert (run.note, run.tags, store.events(run_id)) == (None, (), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": None}, "it describes no run"),
        ({"run.seed": "7"}, "seed is '7', not of type int"),
        ({"run.seed": True}, "seed is True, not of type int"),
        ({"run.step": -1}, "step is -1"),
        ({"run.id": None}, "id is missing"),
        ({"run.status": "asleep"}, "'asleep' is not a valid Status"),
        ({"run.created": "2026-01-02T03:04:05"}, "created has no time zone"),
        (
            {"run.created": "0001-01-01T00:00:00+14:00"},
            r"created is 0001-01-01 00:00:00\+14:00, which is no time in UTC",
        ),
        ({"run.created": "noon"}, "Invalid isoformat string"),
        ({"run.tags": "a"}, "tags is no list"),
        ({"scores": [{"metric": "is"}]}, "protocol is missing"),
        ({"scores": [3]}, "3 is no record for scores"),
        ({"events": {}}, "events is no list"),
    ],
)
def test_a_description_that_cannot_be_used_leaves_nothing(
    store: Store, values: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    for key, value in change.items():
        table, _, field = key.partition(".")
        values[table] = {**values[table], field: value} if field else value
    with pytest.raises(ValueError, match=message):
        store.restore(values, CURVE)
    assert store.summaries() == []
    assert store.files() == ()


def test_files_are_those_that_were_not_removed(store: Store, run_id: str, values: dict[str, Any], new_run: Any) -> None:
    store.restore(values, ())
    other = store.create_run(new_run())
    files, none = store.files()
    assert (files.run_id, none.run_id) == (run_id, other.id)
    assert [each.step for each in files.checkpoints] == [4]
    assert [each.step for each in files.dropped] == [2]
    assert (files.status, none.status) == (Status.FINISHED, Status.QUEUED)
    assert [each.path for each in files.artifacts] == ["samples/4.png"]
    assert (none.checkpoints, none.artifacts) == ((), ())
    store.trash.put(run_id)
    assert [each.removed for each in store.files()] == [True, False]


def test_an_id_tells_its_time() -> None:
    now = datetime.now(UTC)
    made = new_run_id(now)
    assert is_run_id(made)
    assert abs(time_of(made) - now).total_seconds() < 0.0011
    assert not any(map(is_run_id, ("1m88mm6bzf", "1m88mm6bzfo", "1M88MM6BZF6", "")))

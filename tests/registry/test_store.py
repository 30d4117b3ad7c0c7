"""The store's contract, the same on every back end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from sngan_registry import (
    Artifact,
    Checkpoint,
    Component,
    Environment,
    Event,
    RegistryError,
    RunBusyError,
    RunChangedError,
    RunNotFoundError,
    RunTakenError,
    Scalar,
    Score,
    Status,
    Store,
)
from sngan_registry import store as store_module


def score(step: int, value: float, **changes: Any) -> Score:
    usual: dict[str, Any] = {
        "metric": "is",
        "std": 0.125,
        "higher_is_better": True,
        "protocol": "inception-v3 n=50000",
        "evidence": {"images": 50000, "generator_weights": "raw"},
        "created": datetime(2026, 1, 2, tzinfo=UTC) + timedelta(minutes=step),
    }
    return Score(**{**usual, **changes}, step=step, value=value)


# The life of a run


def test_a_new_run_is_queued_and_comes_back_as_it_was_given(store: Store, new_run: Any) -> None:
    before = datetime.now(UTC)
    parent = store.create_run(new_run())
    given = new_run(name="first", note="a try", tags=("b", "a", "b"), parent=parent.id)
    run = store.create_run(given)
    assert run == store.run(run.id)
    assert (run.name, run.note, run.tags, run.parent) == ("first", "a try", ("a", "b"), parent.id)
    assert (run.status, run.step, run.steps, run.seed) == (Status.QUEUED, 0, 100, 7)
    assert (run.started, run.ended, run.heartbeat, run.reason) == (None, None, None, None)
    assert run.config == given.config
    assert run.environment == given.environment
    assert before <= run.created <= datetime.now(UTC)
    assert run.created.tzinfo is UTC
    assert store.components(run.id) == given.components


def test_a_parent_must_exist(store: Store, new_run: Any) -> None:
    with pytest.raises(RunNotFoundError, match="'nobody'"):
        store.create_run(new_run(parent="nobody"))
    assert store.summaries() == []


def test_an_id_that_is_taken_is_never_given_again(store: Store, new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["01taken", "01taken", "01taken", "01free"])
    monkeypatch.setattr(store_module, "new_run_id", lambda created: next(ids))
    assert [store.create_run(new_run()).id for _ in range(2)] == ["01taken", "01free"]


def test_claim_heartbeat_and_close(store: Store, new_run: Any, environment: Environment) -> None:
    run_id = store.create_run(new_run()).id
    here = replace(environment, device="cuda:0")
    claimed = store.claim(run_id, here)
    assert claimed.status is Status.RUNNING
    assert claimed.environment == here
    assert claimed.started == claimed.heartbeat is not None
    store.heartbeat(run_id, 40)
    beating = store.run(run_id)
    assert beating.step == 40
    assert beating.heartbeat is not None
    assert beating.heartbeat > claimed.heartbeat
    store.close(run_id, Status.FAILED, step=41, reason="loss_d is NaN")
    closed = store.run(run_id)
    assert (closed.status, closed.step, closed.reason) == (Status.FAILED, 41, "loss_d is NaN")
    assert closed.ended is not None
    assert closed.ended >= beating.heartbeat
    store.heartbeat(run_id, 40)  # one that had to wait
    assert store.run(run_id).step == 41
    again = store.claim(run_id, environment)
    assert (again.status, again.reason, again.ended, again.step) == (Status.RUNNING, None, None, 41)
    assert again.started == claimed.started


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.INTERRUPTED])
def test_a_run_that_ended_can_be_claimed(store: Store, new_run: Any, environment: Environment, status: Status) -> None:
    run_id = store.create_run(new_run()).id
    store.close(run_id, status, step=1)
    assert store.claim(run_id, environment).status is Status.RUNNING


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.LOST])
def test_a_run_does_not_end_as_queued_running_or_lost(store: Store, new_run: Any, status: Status) -> None:
    run_id = store.create_run(new_run()).id
    with pytest.raises(ValueError, match=status):
        store.close(run_id, status, step=1)


def test_a_running_run_is_busy(store: Store, new_run: Any, environment: Environment) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, host="elsewhere", pid=1))
    with pytest.raises(RunBusyError, match=f"Run {run_id} is being trained by process 1 on elsewhere") as busy:
        store.claim(run_id, environment)
    assert (busy.value.host, busy.value.pid) == ("elsewhere", 1)
    assert store.run(run_id).environment.host == "elsewhere"


@pytest.mark.parametrize(("host", "pid"), [("there", 2), ("elsewhere", 2), ("there", 1)])
def test_a_process_that_stood_still_finds_its_run_taken(
    url: str, store: Store, new_run: Any, environment: Environment, execute: Any, host: str, pid: int
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, host="elsewhere", pid=1))
    stale = datetime.now(UTC) - timedelta(seconds=65)
    execute("UPDATE runs SET heartbeat = :stale", stale=stale.isoformat(" "))
    with Store.open(url) as other:
        other.claim(run_id, replace(environment, host=host, pid=pid))
        for write in (
            lambda: store.heartbeat(run_id, 5),
            lambda: store.add_scalars(run_id, [Scalar(name="d", step=1, value=0.0)]),
            lambda: store.close(run_id, Status.INTERRUPTED, step=5),
        ):
            with pytest.raises(RunTakenError, match=f"Run {run_id} was taken over by process {pid} on {host}"):
                write()
        other.heartbeat(run_id, 7)
    assert store.run(run_id).step == 7
    assert store.scalars(run_id) == ()


def test_a_run_that_was_taken_over_can_be_claimed_again_once_the_other_has_ended(
    url: str, store: Store, new_run: Any, environment: Environment
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, environment)
    with Store.open(url) as other:
        other.close(run_id, Status.INTERRUPTED, step=1)
        other.claim(run_id, replace(environment, host="there", pid=2))
        other.close(run_id, Status.INTERRUPTED, step=2)
    assert store.claim(run_id, environment).environment == environment
    store.heartbeat(run_id, 3)
    assert store.run(run_id).step == 3


def test_a_process_that_has_closed_a_run_may_label_it_while_another_trains_it(
    url: str, store: Store, new_run: Any, environment: Environment
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, environment)
    store.close(run_id, Status.INTERRUPTED, step=1)
    with Store.open(url) as other:
        other.claim(run_id, replace(environment, host="there", pid=2))
    store.update(run_id, note="its own no more")
    assert store.run(run_id).note == "its own no more"


@pytest.mark.parametrize(("ahead", "status"), [({"minutes": 90}, Status.RUNNING), ({"days": 800}, Status.LOST)])
def test_a_clock_that_was_far_ahead_keeps_no_run_from_being_resumed(
    store: Store, new_run: Any, environment: Environment, execute: Any, ahead: dict[str, int], status: Status
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, host="elsewhere", pid=1))
    execute("UPDATE runs SET heartbeat = :then", then=(datetime.now(UTC) + timedelta(**ahead)).isoformat(" "))
    assert store.run(run_id).status is status


def test_a_run_that_was_trained_meanwhile_is_not_claimed(store: Store, new_run: Any, environment: Environment) -> None:
    run_id = store.create_run(new_run()).id
    store.close(run_id, Status.INTERRUPTED, step=5)
    seen = store.run(run_id)
    store.claim(run_id, environment, seen)
    store.close(run_id, Status.FINISHED, step=9)
    with pytest.raises(RunChangedError, match=f"Run {run_id} has been trained to step 9 meanwhile"):
        store.claim(run_id, environment, seen)
    assert store.run(run_id).status is Status.FINISHED


def test_a_run_that_was_trained_to_the_same_step_again_is_not_claimed(
    store: Store, new_run: Any, environment: Environment
) -> None:
    run_id = store.create_run(new_run()).id
    store.close(run_id, Status.INTERRUPTED, step=5)
    seen = store.run(run_id)
    store.close(run_id, Status.INTERRUPTED, step=5)
    with pytest.raises(RunChangedError, match=f"Run {run_id} has been trained to step 5 meanwhile"):
        store.claim(run_id, environment, seen)


def test_a_lost_run_that_was_trained_meanwhile_is_not_claimed(
    store: Store, new_run: Any, environment: Environment, dead_pid: int
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, pid=dead_pid))
    seen = store.run(run_id)
    store.heartbeat(run_id, 6)
    with pytest.raises(RunChangedError, match=f"Run {run_id} has been trained to step 6 meanwhile"):
        store.claim(run_id, environment, seen)
    assert store.claim(run_id, environment, store.run(run_id)).step == 6


def test_a_run_without_heartbeat_is_lost_and_comes_back(
    store: Store, new_run: Any, environment: Environment, execute: Any, dead_pid: int
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, host="elsewhere", pid=dead_pid))  # a number that says nothing here
    for age, status in ((55, Status.RUNNING), (65, Status.LOST)):
        stale = datetime.now(UTC) - timedelta(seconds=age)
        execute("UPDATE runs SET heartbeat = :stale", stale=stale.isoformat(" "))
        assert store.run(run_id).status is status
    assert [summary.run.id for summary in store.summaries(status=Status.LOST)] == [run_id]
    assert store.summaries(status=Status.RUNNING) == []
    other = store.create_run(new_run()).id
    store.claim(other, environment)
    assert [summary.run.id for summary in store.summaries(status=Status.LOST, limit=1)] == [run_id]
    assert [summary.run.id for summary in store.summaries(status=Status.RUNNING)] == [other]
    store.heartbeat(run_id, 3)
    assert (store.run(run_id).status, store.run(run_id).step) == (Status.RUNNING, 3)
    assert [summary.run.id for summary in store.summaries(status=Status.RUNNING)] == [other, run_id]
    assert store.run(other).step == 0


def test_a_run_whose_process_died_here_is_lost_at_once(
    store: Store, new_run: Any, environment: Environment, dead_pid: int
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, replace(environment, pid=dead_pid))
    assert store.run(run_id).status is Status.LOST
    assert store.claim(run_id, environment).status is Status.RUNNING
    assert store.run(run_id).status is Status.RUNNING


def test_a_run_of_another_user_s_process_is_running(
    store: Store, new_run: Any, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    run_id = store.create_run(new_run()).id
    store.claim(run_id, environment)
    monkeypatch.setattr("os.kill", refuse)
    with pytest.raises(RunBusyError):
        store.claim(run_id, replace(environment, pid=environment.pid + 1))
    assert store.run(run_id).status is Status.RUNNING


def test_an_update_replaces_components_of_the_same_role_and_name_and_leaves_the_others(
    store: Store, new_run: Any
) -> None:
    ids = [store.create_run(new_run()).id for _ in range(2)]
    network, loss = store.components(ids[0])
    newer = replace(loss, version="0.2.0", options={"margin": 1})
    store.update(ids[0], components=(newer,))
    assert store.components(ids[0]) == (network, newer)
    assert store.components(ids[1]) == (network, loss)


def test_update_changes_what_is_given(store: Store, new_run: Any) -> None:
    run = store.create_run(new_run(tags=("a",), note="old"))
    store.update(run.id, config={"n_dis": 1}, steps=400, name="longer", add_tags=("b", "a"))
    expected = replace(run, config={"n_dis": 1}, steps=400, name="longer", tags=("a", "b"))
    assert store.run(run.id) == expected
    store.update(run.id, note="new")
    assert store.run(run.id) == replace(expected, note="new")


# What came of it


def test_scalars_by_name_and_step(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    other = store.create_run(new_run()).id
    store.add_scalars(run_id, [Scalar(name=name, step=step, value=step / 4) for step in (2, 1) for name in "gd"])
    store.add_scalars(other, [Scalar(name="d", step=1, value=9.0)])
    d = (Scalar(name="d", step=1, value=0.25), Scalar(name="d", step=2, value=0.5))
    assert store.scalars(run_id) == (*d, Scalar(name="g", step=1, value=0.25), Scalar(name="g", step=2, value=0.5))


def test_a_scalar_logged_again_replaces_the_former(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    other = store.create_run(new_run()).id
    for each in (run_id, other):
        store.add_scalars(each, [Scalar(name="d", step=step, value=1.0) for step in (1, 2)])
    store.add_scalars(run_id, [Scalar(name="d", step=2, value=value) for value in (2.0, 3.0)])
    assert [scalar.value for scalar in store.scalars(run_id)] == [1.0, 3.0]
    assert [scalar.value for scalar in store.scalars(other)] == [1.0, 1.0]
    store.add_scalars(run_id, [])
    assert len(store.scalars(run_id)) == 2


def test_scalars_may_be_nan_and_infinite(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    values = (math.nan, math.inf, -math.inf)
    store.add_scalars(run_id, [Scalar(name="d", step=step, value=value) for step, value in enumerate(values)])
    nan, *infinite = [scalar.value for scalar in store.scalars(run_id)]
    assert math.isnan(nan)
    assert infinite == [math.inf, -math.inf]


def test_a_score_replaces_one_measured_in_the_same_way(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    averaged = score(10, 6.0, evidence={"images": 50000, "generator_weights": "averaged"})
    small = score(10, 4.0, protocol="inception-v3 n=5000", std=None)
    seeded = [score(30, 6.5 + seed, evidence={"generator_weights": "raw", "seed": seed}) for seed in (1, 2)]
    for each in (score(10, 5.0), averaged, small, score(20, 5.5), score(10, 5.25), *seeded):
        store.add_score(run_id, each)
    assert store.scores(run_id) == (small, averaged, score(10, 5.25), score(20, 5.5), *seeded)


def test_checkpoints_are_replaced_by_step_and_dropped(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    made = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    for size in (3, 2**40):
        store.add_checkpoint(run_id, Checkpoint(step=10, path="10", size=size, sha256="ab", created=made))
    store.add_checkpoint(run_id, Checkpoint(step=20, path="20", size=1, sha256="cd"))
    assert store.run(run_id).step == 20
    other = store.create_run(new_run()).id
    store.add_checkpoint(other, Checkpoint(step=20, path="20", size=1, sha256="cd"))
    store.drop_checkpoint(run_id, 20)
    assert [each.deleted for each in store.checkpoints(other)] == [None]
    kept, dropped = store.checkpoints(run_id)
    assert kept == Checkpoint(step=10, path="10", size=2**40, sha256="ab", created=made)
    assert dropped.created is not None
    assert dropped.deleted is not None
    assert dropped.created <= dropped.deleted <= datetime.now(UTC)
    store.drop_checkpoint(run_id, 30)  # one that the registry has never heard of
    assert len(store.checkpoints(run_id)) == 2


def test_a_checkpoint_and_the_step_of_its_run_are_recorded_together_or_not_at_all(
    store: Store, new_run: Any, execute: Any, url: str
) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("the trigger is written for SQLite")
    run_id = store.create_run(new_run()).id
    execute("CREATE TRIGGER t BEFORE UPDATE OF step ON runs BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(RegistryError):
        store.add_checkpoint(run_id, Checkpoint(step=10, path="10", size=1, sha256="ab"))
    assert (store.checkpoints(run_id), store.run(run_id).step) == ((), 0)


def test_artifacts_are_replaced_by_path(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    made = datetime(2026, 1, 2, tzinfo=UTC)
    grid = Artifact(kind="samples", path="samples/10.png", size=5, sha256="ab", step=10, created=made)
    config = Artifact(kind="config", path="config.toml", size=5, sha256="cd", created=made)
    for each in (config, replace(grid, sha256="00"), grid):
        store.add_artifact(run_id, each)
    assert store.artifacts(run_id) == (config, grid)


def test_what_is_no_text_is_spelt_out(store: Store, new_run: Any, environment: Environment) -> None:
    """Such as a path in a message, whose bytes are those of another encoding."""
    strange, kept = "caf\udce9\0 ☕", r"caf\udce9\x00 ☕"
    run = store.create_run(new_run(note=strange, environment=replace(environment, command=strange)))
    store.add_event(run.id, Event(kind="notice", message=strange))
    store.close(run.id, Status.FAILED, step=0, reason=strange)
    found = store.run(run.id)
    assert (found.note, found.environment.command, found.reason) == (kept, kept, kept)
    assert [event.message for event in store.events(run.id)] == [kept]


def test_events_keep_their_order(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    for kind in ("resumed", "diverged", "resumed"):
        store.add_event(run_id, Event(kind=kind, message=f"it {kind}", step=3))
    events = store.events(run_id)
    assert [(event.kind, event.message, event.step) for event in events] == [
        ("resumed", "it resumed", 3),
        ("diverged", "it diverged", 3),
        ("resumed", "it resumed", 3),
    ]
    assert all(event.created is not None and event.created.tzinfo is UTC for event in events)


def test_rewind_forgets_what_came_after(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    other = store.create_run(new_run()).id
    for each in (run_id, other):
        store.add_scalars(each, [Scalar(name="d", step=step, value=0.0) for step in (9, 10, 11)])
        store.add_score(each, score(10, 5.0))
        store.add_score(each, score(11, 6.0))
        for step in (9, 11):
            store.add_checkpoint(each, Checkpoint(step=step, path=str(step), size=1, sha256="ab"))
            store.add_artifact(each, Artifact(kind="samples", path=f"{step}.png", size=1, sha256="ab", step=step))
        store.add_artifact(each, Artifact(kind="config", path="config.toml", size=1, sha256="ab"))
        store.add_checkpoint(each, Checkpoint(step=12, path="12", size=1, sha256="ab"))
        store.drop_checkpoint(each, 12)
    dropped = store.checkpoints(run_id)[-1]
    store.rewind(run_id, 10)
    assert [(c.step, c.deleted is None) for c in store.checkpoints(run_id)] == [(9, True), (11, False), (12, False)]
    assert store.checkpoints(run_id)[-1] == dropped
    assert [(artifact.path, artifact.step) for artifact in store.artifacts(run_id)] == [
        ("9.png", 9),
        ("config.toml", None),
    ]
    assert [c.deleted is None for c in store.checkpoints(other)] == [True, True, False]
    assert [scalar.step for scalar in store.scalars(run_id)] == [9, 10]
    assert [found.step for found in store.scores(run_id)] == [10]
    assert store.run(run_id).step == 10
    assert len(store.scalars(other)) == 3
    assert len(store.scores(other)) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda store, environment: store.claim("nobody", environment),
        lambda store, _: store.heartbeat("nobody", 1),
        lambda store, _: store.close("nobody", Status.FAILED, step=1),
        lambda store, _: store.update("nobody", note="x"),
        lambda store, _: store.rewind("nobody", 1),
        lambda store, _: store.add_scalars("nobody", [Scalar(name="d", step=1, value=0.0)]),
        lambda store, _: store.add_event("nobody", Event(kind="x", message="x")),
        lambda store, _: store.run("nobody"),
    ],
)
def test_no_write_to_a_run_that_is_not_there(store: Store, environment: Environment, write: Any) -> None:
    with pytest.raises(RunNotFoundError, match=r"There is no run 'nobody'\. `sngan runs list` shows them all\."):
        write(store, environment)


def test_a_write_that_fails_leaves_nothing(store: Store, new_run: Any) -> None:
    run = store.create_run(new_run())
    twice = (Component(role="loss", name="hinge", distribution="sngan", version="1", options={}),) * 2
    with pytest.raises(RegistryError, match="cannot be used"):
        store.create_run(new_run(components=twice))
    assert [summary.run for summary in store.summaries()] == [run]


# Tables of runs


def test_summaries_are_newest_first_and_complete(store: Store, new_run: Any) -> None:
    assert store.summaries() == []
    first, second = (store.create_run(new_run(tags=("x",), name=name)) for name in ("first", "second"))
    store.add_score(first.id, score(10, 5.0))
    assert [summary.run for summary in store.summaries()] == [second, first]
    assert [summary.components for summary in store.summaries()] == [new_run().components] * 2
    assert [summary.best for summary in store.summaries()] == [(), (score(10, 5.0),)]
    assert [summary.run for summary in store.summaries(limit=1)] == [second]


def test_an_infinite_score_is_no_runs_best(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    for step, value in ((10, math.inf), (20, 5.0), (30, 6.0)):
        store.add_score(run_id, score(step, value))
    (summary,) = store.summaries()
    assert summary.best == (score(30, 6.0),)


def test_best_and_last_score_of_each_metric_and_protocol(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    fid = {"metric": "fid", "higher_is_better": False, "protocol": "fid n=50000"}
    small = {"protocol": "inception-v3 n=5000"}
    for each in (
        *(score(step, value) for step, value in ((10, 5.0), (20, 7.0), (30, 7.0), (40, math.nan))),
        *(score(step, value, **fid) for step, value in ((10, 90.0), (20, 30.0), (30, 40.0))),
        score(10, 9.0, **small),
    ):
        store.add_score(run_id, each)
    (summary,) = store.summaries()
    assert summary.best == (score(20, 30.0, **fid), score(10, 9.0, **small), score(20, 7.0))
    assert summary.last[:2] == (score(30, 40.0, **fid), score(10, 9.0, **small))
    assert summary.last[2].step == 40
    assert math.isnan(summary.last[2].value)


def test_of_two_scores_of_one_step_the_later_is_the_last(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run()).id
    made = datetime(2026, 1, 2, tzinfo=UTC)
    for weights, minutes in (("averaged", 5), ("raw", 3)):
        evidence = {"generator_weights": weights}
        store.add_score(run_id, score(10, float(minutes), evidence=evidence, created=made + timedelta(minutes=minutes)))
    (summary,) = store.summaries()
    assert [each.evidence["generator_weights"] for each in summary.last] == ["averaged"]


def test_summaries_by_status_tags_and_settings(store: Store, new_run: Any) -> None:
    both = store.create_run(new_run(tags=("x", "y"), config={"n_dis": 1}))
    one = store.create_run(new_run(tags=("x",)))
    failed = store.create_run(new_run(config={"n_dis": 1}))
    store.close(failed.id, Status.FAILED, step=0)

    def ids(**filters: Any) -> list[str]:
        return [summary.run.id for summary in store.summaries(**filters)]

    assert ids(tags=("x",)) == [one.id, both.id]
    assert ids(tags=("x", "y")) == [both.id]
    assert ids(tags=("z",)) == []
    assert ids(status=Status.FAILED) == [failed.id]
    assert ids(status=Status.QUEUED) == [one.id, both.id]
    assert ids(where={"n_dis": "1"}) == [failed.id, both.id]
    assert ids(where={"n_dis": "1"}, limit=1) == [failed.id]
    assert ids(where={"n_dis": "5"}, limit=1) == [one.id]
    assert ids(where={"n_dis": "1"}, status=Status.QUEUED, tags=("y",)) == [both.id]
    assert ids(where={"n_dis": "1"}, status=Status.RUNNING) == []


def test_the_number_of_queries_does_not_grow(store: Store, new_run: Any) -> None:
    counts = []
    for _ in range(2):
        run_id = store.create_run(new_run(tags=("x",))).id
        store.add_score(run_id, score(10, 5.0))
        statements: list[str] = []
        with listening(store, statements):
            store.summaries()
        counts.append(sum(statement.startswith("SELECT") for statement in statements))
    assert counts == [4, 4]


@contextmanager
def listening(store: Store, statements: list[str]) -> Iterator[None]:
    """Collect the statements that the store sends."""

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    yield
    event.remove(store._engine, "before_cursor_execute", note)

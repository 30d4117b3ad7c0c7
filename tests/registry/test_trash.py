"""Removed runs are nowhere to be seen, and come back as they were, on every back end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sngan_registry import (
    AmbiguousRunError,
    Artifact,
    Checkpoint,
    Environment,
    Event,
    RunBusyError,
    RunNotFoundError,
    RunNotRemovedError,
    RunRemovedError,
    Scalar,
    Score,
    Status,
    Store,
)


def score(value: float, metric: str = "is") -> Score:
    return Score(
        metric=metric, step=1, value=value, std=None, higher_is_better=True, protocol="n=10", evidence={"images": 10}
    )


@pytest.fixture
def pair(store: Store, new_run: Any) -> tuple[str, str]:
    """A run that stays, and a better and later one, called `gone`, which was removed; both have a tag and a score."""
    stays = store.create_run(new_run(name="stays", tags=("t",))).id
    gone = store.create_run(new_run(name="gone", tags=("t",), parent=stays)).id
    for run_id, value in ((stays, 2.0), (gone, 3.0)):
        store.add_score(run_id, score(value))
        store.add_scalars(run_id, [Scalar(name="loss_d", step=1, value=value)])
        store.add_checkpoint(run_id, Checkpoint(step=1, path="c", size=1, sha256="a"))
        store.add_artifact(run_id, Artifact(kind="samples", path="s", size=1, sha256="a"))
        store.add_event(run_id, Event(kind="k", message="m"))
    store.trash.put(gone)
    return stays, gone


def everything(store: Store, run_id: str) -> list[Any]:
    readers = (store.components, store.scalars, store.scores, store.checkpoints, store.artifacts, store.events)
    return [read(run_id) for read in readers]


def test_a_removed_run_is_in_no_answer(store: Store, pair: tuple[str, str]) -> None:
    stays, gone = pair
    for found in (store.summaries(), store.summaries(tags=("t",)), store.summaries(status=Status.QUEUED, limit=1)):
        assert [summary.run.id for summary in found] == [stays]
    assert [each.run_id for each in store.run_scores()] == [stays]
    assert (store.get("@last").id, store.get("@best").id) == (stays, stays)
    assert [[run.id for run in store.named(name)] for name in ("stays", "gone")] == [[stays], []]
    assert [(run.id, run.name, run.tags) for run in store.trash.runs()] == [(gone, "gone", ("t",))]


def test_the_best_of_removed_runs_is_none(store: Store, pair: tuple[str, str]) -> None:
    store.trash.put(pair[0])
    with pytest.raises(RunNotFoundError, match="no run has a score 'is' yet"):
        store.get("@best")
    with pytest.raises(RunNotFoundError, match="@last"):
        store.get("@last")


def test_a_reference_to_it_says_where_it_is_and_how_to_get_it_back(store: Store, pair: tuple[str, str]) -> None:
    _, gone = pair
    back = f"is in the trash: `sngan runs restore {gone}` gets it back."
    with pytest.raises(RunRemovedError, match=f"^Run {gone} {back}"):
        store.get(gone)
    with pytest.raises(RunRemovedError, match=f"^Run {gone}, which 'gone' stands for, {back}"):
        store.get("gone")
    with pytest.raises(RunRemovedError, match=f"^Run {gone} {back}"):
        store.run(gone)
    with pytest.raises(RunNotFoundError, match=r"^There is no run 'gon'\. `sngan runs list`"):
        store.get("gon")


def test_what_remains_goes_before_what_is_removed(store: Store, pair: tuple[str, str], new_run: Any) -> None:
    again = store.create_run(new_run(name="gone")).id
    assert store.get("gone").id == again
    assert store.trash.get("gone").id == pair[1]
    store.trash.put(again)
    with pytest.raises(RunRemovedError, match=f"'gone' fits 2 runs in the trash: .* gets {again} or {pair[1]} back"):
        store.get("gone")
    with pytest.raises(AmbiguousRunError, match="'gone' fits 2 runs"):
        store.trash.get("gone")
    assert store.trash.get(again[:-1] if again[:-1] != pair[1][:-1] else again).id == again


def test_the_id_of_a_removed_run_is_no_other_run_s_name(store: Store, pair: tuple[str, str], new_run: Any) -> None:
    store.create_run(new_run(name=pair[1]))
    with pytest.raises(RunRemovedError):
        store.get(pair[1])


@pytest.mark.parametrize("ref", ["stays", "@last", "", "nobody"])
def test_only_removed_runs_are_found_in_the_trash(store: Store, pair: tuple[str, str], ref: str) -> None:
    with pytest.raises(RunNotRemovedError, match=f"There is no run {ref!r} in the trash"):
        store.trash.get(ref)


def test_nothing_is_written_to_a_removed_run(
    store: Store, pair: tuple[str, str], new_run: Any, environment: Environment
) -> None:
    _, gone = pair
    before = (store.trash.get(gone), everything(store, gone))
    for write in (
        lambda: store.claim(gone, environment),
        lambda: store.heartbeat(gone, 2),
        lambda: store.close(gone, Status.FINISHED, step=2),
        lambda: store.update(gone, note="new"),
        lambda: store.rewind(gone, 0),
        lambda: store.add_score(gone, score(9.0)),
        lambda: store.create_run(new_run(parent=gone)),
    ):
        with pytest.raises(RunRemovedError):
            write()
    assert (store.trash.get(gone), everything(store, gone)) == before


def test_restoring_gives_back_exactly_what_was(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run(name="n", tags=("t",), note="a note")).id
    store.add_score(run_id, score(2.0))
    before = (store.run(run_id), everything(store, run_id))
    store.trash.put(run_id)
    with store.trash.restoring(run_id):
        assert [run.id for run in store.trash.runs()] == [run_id]
    assert (store.run(run_id), everything(store, run_id)) == before
    assert store.trash.runs() == ()
    with pytest.raises(RunNotRemovedError), store.trash.restoring(run_id):
        pytest.fail("it is not in the trash")


def test_what_fails_in_between_leaves_the_run_removed(store: Store, pair: tuple[str, str]) -> None:
    _, gone = pair
    before = (store.trash.get(gone), everything(store, gone))
    for begun in (store.trash.restoring, store.trash.deleting):
        with pytest.raises(OSError, match="no room"), begun(gone):
            raise OSError("no room")
        assert (store.trash.get(gone), everything(store, gone)) == before


def test_removing_twice_keeps_the_first_time(store: Store, pair: tuple[str, str]) -> None:
    before = store.trash.get("gone")
    store.trash.put(before.id)
    assert store.trash.get("gone") == before
    assert before.removed is not None


def test_deleting_leaves_nothing_and_children_without_a_parent(
    store: Store, pair: tuple[str, str], new_run: Any
) -> None:
    stays, gone = pair
    store.trash.put(stays)
    with store.trash.restoring(gone):
        pass
    with store.trash.deleting(stays):
        pass
    assert everything(store, stays) == [()] * 6
    assert store.get(gone).parent is None
    with pytest.raises(RunNotFoundError, match=f"There is no run '{stays}'"):
        store.trash.put(stays)
    with pytest.raises(RunNotFoundError), store.trash.deleting(stays):
        pytest.fail("it is deleted")


def test_a_running_run_is_not_removed_but_a_lost_one_is(
    store: Store, new_run: Any, environment: Environment, dead_pid: int
) -> None:
    run_id = store.create_run(new_run()).id
    store.claim(run_id, environment)
    with pytest.raises(RunBusyError, match=f"Run {run_id} is being trained by process {environment.pid}"):
        store.trash.put(run_id)
    store.close(run_id, Status.INTERRUPTED, step=1)
    store.claim(run_id, replace(environment, pid=dead_pid))
    store.trash.put(run_id)
    assert [(run.id, run.status) for run in store.trash.runs()] == [(run_id, Status.LOST)]


def test_labels_are_taken_away(store: Store, new_run: Any) -> None:
    run_id = store.create_run(new_run(name="n", note="a note", tags=("a", "b", "c"))).id
    store.update(run_id, name="", note="", add_tags=("d",), remove_tags=("a", "c", "other"))
    run = store.run(run_id)
    assert (run.name, run.note, run.tags) == (None, None, ("b", "d"))


def test_the_last_point_of_each_curve(store: Store, new_run: Any) -> None:
    first, second = (store.create_run(new_run()).id for _ in range(2))
    points = [Scalar(name=name, step=step, value=step / 2) for name, step in (("d", 1), ("d", 9), ("d", 5), ("g", 3))]
    store.add_scalars(first, points)
    store.add_scalars(second, [Scalar(name="d", step=20, value=1.0)])
    assert store.last_scalars(first) == (points[1], points[3])
    assert store.last_scalars("nobody") == ()

"""How a run is named on the command line, on every back end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sngan_registry import AmbiguousRunError, RunNotFoundError, Score, Store, sort_summaries
from sngan_registry import store as store_module

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def runs(store: Store, new_run: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four runs with ids that are easy to type."""
    ids = iter(["01aaaa", "01aabb", "01b_cc", "02dddd"])
    monkeypatch.setattr(store_module, "new_run_id", lambda created: next(ids))
    return [store.create_run(new_run(name=name)).id for name in ("twin", "twin", None, "01aaa")]


def add_is(store: Store, run_id: str, value: float, minute: int, protocol: str = "n=50000", **changes: Any) -> None:
    created = NOON + timedelta(minutes=minute)
    usual: dict[str, Any] = {"metric": "is", "std": None, "higher_is_better": True, "evidence": {}}
    score = Score(**{**usual, **changes}, step=minute, value=value, protocol=protocol, created=created)
    store.add_score(run_id, score)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("01aaaa", "01aaaa"),
        ("01AABB", "01aabb"),
        ("01aab", "01aabb"),
        ("01b_", "01b_cc"),
        ("02", "02dddd"),
        ("01aaa", "02dddd"),  # a name goes before the prefix of another run's id
        ("@last", "02dddd"),
    ],
)
def test_references(store: Store, runs: list[str], ref: str, found: str) -> None:
    assert store.get(ref).id == found


def test_a_run_that_is_named_twice_is_found_once(store: Store, runs: list[str]) -> None:
    assert [run.id for run in store.get_each(["@last", "01b_cc", "02", "01aaaa"])] == ["02dddd", "01b_cc", "01aaaa"]


@pytest.mark.parametrize(("ref", "candidates"), [("twin", ["01aabb", "01aaaa"]), ("01aa", ["01aabb", "01aaaa"])])
def test_ambiguous_references(store: Store, runs: list[str], ref: str, candidates: list[str]) -> None:
    with pytest.raises(AmbiguousRunError) as ambiguous:
        store.get(ref)
    assert [run.id for run in ambiguous.value.candidates] == candidates
    first, second = ambiguous.value.candidates
    assert str(ambiguous.value) == (
        f"{ref!r} fits 2 runs; give more of the id:\n"
        f"01aabb (twin, {first.created:%Y-%m-%d %H:%M}), 01aaaa (twin, {second.created:%Y-%m-%d %H:%M})"
    )


def test_many_candidates_are_counted(store: Store, new_run: Any) -> None:
    for _ in range(11):
        store.create_run(new_run(name="many"))
    with pytest.raises(AmbiguousRunError, match=r"fits 11 runs.*\n.* and 3 more$"):
        store.get("many")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("twinn", r"There is no run 'twinn'\. Did you mean 'twin'\? `sngan runs list` shows them all\."),
        ("@lst", r"There is no run '@lst'\. Did you mean '@last'.*\?"),
        ("01bxc", r"There is no run '01bxc'\."),
        ("01b%", r"There is no run '01b%'\."),
        ("zzzzzz", r"^There is no run 'zzzzzz'\. `sngan runs list` shows them all\.$"),
        ("", r"There is no run '': give an id"),
        ("@best", r"There is no run '@best': no run has a score 'is' yet\."),
    ],
)
def test_unknown_references(store: Store, runs: list[str], ref: str, message: str) -> None:
    with pytest.raises(RunNotFoundError, match=message):
        store.get(ref)


@pytest.mark.parametrize("ref", ["@last", "first"])
def test_where_there_is_no_run_at_all_it_is_said(store: Store, ref: str) -> None:
    with pytest.raises(RunNotFoundError, match=rf"^There is no run '{ref}': the registry is empty\.$"):
        store.get(ref)


def test_best_is_the_highest_inception_score(store: Store, runs: list[str]) -> None:
    add_is(store, runs[0], 6.0, 1)
    add_is(store, runs[1], 8.0, 2)
    add_is(store, runs[1], 4.0, 3)
    add_is(store, runs[2], 7.0, 4)
    add_is(store, runs[2], float("nan"), 5)
    add_is(store, runs[3], 99.0, 6, metric="fid")
    assert store.get("@best").id == runs[1]


def test_best_is_within_the_protocol_used_last(store: Store, runs: list[str]) -> None:
    add_is(store, runs[0], 9.0, 1, protocol="n=5000")
    add_is(store, runs[1], 6.0, 2)
    add_is(store, runs[2], 5.0, 3)
    assert store.get("@best").id == runs[1]
    add_is(store, runs[3], 3.0, 4, protocol="n=5000")
    assert store.get("@best").id == runs[0]


def test_best_is_within_the_protocol_of_training_where_others_are_used_as_often(store: Store, runs: list[str]) -> None:
    own, named = {"checkpoint": "while training"}, {"checkpoint": "last", "protocol name": "standard"}
    add_is(store, runs[0], 2.0, 1, protocol="of training", evidence=own)
    add_is(store, runs[1], 1.0, 2, protocol="of training", evidence=own)
    for k, value in ((0, 7.0), (1, 8.0)):
        add_is(store, runs[k], value, 3 + k, protocol="named", evidence=named)
        add_is(store, runs[k], value, 5 + k, protocol="truncated", evidence={"checkpoint": "last"})
    assert store.get("@best").id == runs[0]
    add_is(store, runs[2], 6.0, 7, protocol="named", evidence=named)
    assert store.get("@best").id == runs[1]


def test_best_is_the_run_that_leads_a_sorted_list(store: Store, runs: list[str]) -> None:
    own, named = {"checkpoint": "while training"}, {"checkpoint": "last", "protocol name": "standard"}
    add_is(store, runs[0], 2.0, 1, protocol="a", evidence=own)
    add_is(store, runs[0], 2.5, 3, protocol="a", evidence=named)
    add_is(store, runs[1], 9.0, 2, protocol="b", evidence={**own, "protocol name": "quick"})
    assert store.get("@best").id == sort_summaries(store.summaries(), "is").summaries[0].run.id == runs[1]


def test_scores_that_are_nan_choose_no_protocol(store: Store, runs: list[str]) -> None:
    add_is(store, runs[0], float("nan"), 1, protocol="a")
    add_is(store, runs[1], float("nan"), 2, protocol="a")
    with pytest.raises(RunNotFoundError, match="no run has a score 'is' yet"):
        store.get("@best")
    add_is(store, runs[2], 1.0, 0, protocol="b")
    assert store.get("@best").id == sort_summaries(store.summaries(), "is").summaries[0].run.id == runs[2]

"""Filters and orders, on records alone."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sngan_registry import (
    Component,
    Environment,
    QueryError,
    Run,
    RunSummary,
    Score,
    Status,
    best_of,
    duration_of,
    facts_of,
    filter_summaries,
    most_used_first,
    sort_summaries,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CONFIG: dict[str, Any] = {
    "n_dis": 5,
    "lr": 2e-4,
    "conditional": True,
    "data_dir": None,
    "recipe": "paper",
    "metrics": {"is": {}},
}


def component(role: str, name: str, **options: Any) -> Component:
    return Component(role=role, name=name, distribution="sngan", version="1", options=options)


HINGE = (
    component("arch_d", "standard", width=0.5),
    component("arch_g", "standard", width=0.25),
    component("loss", "hinge"),
    component("metrics.is", "is", splits=10),
)


def summary(
    environment: Environment,
    run_id: str,
    scores: tuple[Score, ...] = (),
    components: tuple[Component, ...] = HINGE,
    **changes: Any,
) -> RunSummary:
    usual: dict[str, Any] = {
        "name": None,
        "status": Status.FINISHED,
        "reason": None,
        "parent": None,
        "config": CONFIG,
        "seed": 0,
        "step": 0,
        "steps": 100,
        "environment": environment,
        "created": NOON,
        "started": None,
        "ended": None,
        "heartbeat": None,
        "note": None,
        "tags": (),
    }
    return RunSummary(run=Run(id=run_id, **{**usual, **changes}), components=components, best=scores, last=scores)


def score(value: float, protocol: str = "n=50000", minute: int = 0, **changes: Any) -> Score:
    usual: dict[str, Any] = {"metric": "is", "step": 1, "std": None, "higher_is_better": True, "evidence": {}}
    created = NOON + timedelta(minutes=minute)
    return Score(**{**usual, **changes}, value=value, protocol=protocol, created=created)


def ids(summaries: Any) -> str:
    return " ".join(each.run.id for each in summaries)


@pytest.mark.parametrize("seed", [2**53, 2**53 + 1, 2**62 + 1])
def test_integers_that_no_float_tells_apart_are(environment: Environment, seed: int) -> None:
    numbers = {"a": seed, "b": seed + 1, "c": 1}
    runs = [summary(environment, name, config={**CONFIG, "n": n}) for name, n in numbers.items()]
    assert ids(filter_summaries(runs, {"n": str(seed)})) == "a"
    assert ids(filter_summaries(runs, {"n": str(seed + 1)})) == "b"
    assert ids(filter_summaries(runs, {"n": "1.0"})) == "c"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({}, "a b"),
        ({"loss": "hinge"}, "a"),
        ({"loss": "Hinge"}, ""),
        ({"arch": "standard"}, "a"),
        ({"arch_g": "standard"}, "a b"),
        ({"arch_d": "resnet-preact"}, "b"),
        ({"arch_g.width": "0.250"}, "a b"),
        ({"arch_d.width": ".5"}, "a"),
        ({"arch.width": "0.25"}, "b"),
        ({"metrics.is": "is"}, "a"),
        ({"metrics.is.splits": "10"}, "a"),
        ({"n_dis": "5.0"}, "a"),
        ({"n_dis": "none"}, ""),
        ({"lr": "2e-4"}, "a b"),
        ({"lr": "3e-4"}, ""),
        ({"conditional": "TRUE"}, "a"),
        ({"conditional": "false"}, "b"),
        ({"conditional": "1"}, "a"),
        ({"conditional": "yes"}, "a"),
        ({"conditional": "No"}, "b"),
        ({"id": "b"}, "b"),
        ({"status": "finished"}, "a b"),
        ({"tag": "none"}, ""),
        ({"data_dir": "none"}, "a"),
        ({"data_dir": "/data"}, "b"),
        ({"recipe": "paper", "n_dis": "1"}, "b"),
        ({"recipe": "paper", "n_dis": "2"}, ""),
        ({"fast": "yes"}, "b"),
    ],
)
def test_where(environment: Environment, where: dict[str, str], found: str) -> None:
    mixed = (
        component("arch_d", "resnet-preact", width=0.25),
        component("arch_g", "standard", width=0.25),
        component("loss", "cross-entropy"),
    )
    config = {**CONFIG, "n_dis": 1, "conditional": False, "data_dir": "/data", "fast": "yes"}
    runs = [
        summary(environment, "a", components=HINGE),
        summary(environment, "b", components=mixed, config=config),
    ]
    assert ids(filter_summaries(runs, where)) == found


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("lss", "did you mean loss"),
        ("archwidth", "did you mean arch.width"),
        (
            "",
            "known are arch, arch.width, arch_d, arch_d.width, arch_g, arch_g.width, command, conditional, created, ",
        ),
    ],
)
def test_where_with_a_key_that_no_run_has(environment: Environment, key: str, hint: str) -> None:
    with pytest.raises(QueryError) as refused:
        filter_summaries([summary(environment, "a")], {"lr": "1", key: "x"})
    assert str(refused.value).startswith(f"No run has a setting {key!r}: {hint}")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"lr": "abc"}, "lr = 'abc' cannot be asked for: lr is a number, such as 0.0002."),
        ({"step": "x"}, "step = 'x' cannot be asked for: step is a number, such as 0."),
        (
            {"arch_g.width": "wide"},
            "arch_g.width = 'wide' cannot be asked for: arch_g.width is a number, such as 0.25.",
        ),
        ({"conditional": "maybe"}, "conditional = 'maybe' cannot be asked for: conditional is yes or no."),
        ({"conditional": "2"}, "conditional = '2' cannot be asked for: conditional is yes or no."),
    ],
)
def test_where_with_a_value_that_a_setting_cannot_have(
    environment: Environment, where: dict[str, str], message: str
) -> None:
    with pytest.raises(QueryError) as refused:
        filter_summaries([summary(environment, "a")], where)
    assert str(refused.value) == message


def test_where_takes_any_word_for_a_setting_of_several_types(environment: Environment) -> None:
    runs = [summary(environment, name, config={"steps_or_auto": value}) for name, value in (("a", 5), ("b", "auto"))]
    assert ids(filter_summaries(runs, {"steps_or_auto": "5.0"})) == "a"
    assert ids(filter_summaries(runs, {"steps_or_auto": "auto"})) == "b"
    assert ids(filter_summaries(runs, {"steps_or_auto": "never"})) == ""


def test_what_both_networks_share_has_a_name_of_its_own(environment: Environment) -> None:
    config = {"lr_g": 1e-4, "lr_d": 4e-4, "recipe": "paper"}
    apart = facts_of(summary(environment, "a", config=config))
    together = facts_of(summary(environment, "a", config={**config, "lr_d": 1e-4}))
    assert (apart["lr"], together["lr"]) == ([], [1e-4])
    assert facts_of(summary(environment, "a", config={**config, "lr": 3e-4}))["lr"] == [3e-4], "as it was recorded"


def test_what_the_registry_knows_of_a_run_is_a_fact_of_it(environment: Environment) -> None:
    """And goes before what it was begun with: more steps may have been asked for since."""
    own: dict[str, Any] = {"steps": 500, "reason": "it was cold", "note": "once more", "parent": "b"}
    found = facts_of(
        summary(
            replace(environment, host="far", device="cuda:0"),
            "a",
            config={"steps": 100, "betas": [0.5, 0.9]},
            tags=("new", "odd"),
            created=NOON.replace(microsecond=5),
            **own,
        )
    )
    assert {key: found[key] for key in own} == {key: [value] for key, value in own.items()}
    assert (found["host"], found["device"]) == (["far"], ["cuda:0"])
    assert (found["tag"], found["betas"]) == (["new", "odd"], [0.5, 0.9])
    assert (found["created"], found["ended"]) == (["2026-01-02T12:00:00+00:00"], [None])


def test_where_knows_no_keys_where_there_are_no_runs() -> None:
    assert filter_summaries([], {"loss": "hinge"}) == []


@pytest.mark.parametrize(
    ("key", "order", "backwards"),
    [
        ("id", "a b c", "c b a"),
        ("created", "c a b", "b a c"),
        ("name", "b c a", "c b a"),  # one without a name is last either way
        ("status", "b a c", "c a b"),
        ("step", "b a c", "c a b"),
        ("seed", "b c a", "a c b"),
        ("colour", "c a b", "c a b"),
    ],
)
def test_sort_by_what_a_run_is(environment: Environment, key: str, order: str, backwards: str) -> None:
    hour = timedelta(hours=1)
    runs = [
        summary(environment, "c", name="y", created=NOON, status=Status.RUNNING, step=10, seed=2),
        summary(environment, "a", name=None, created=NOON + hour, status=Status.FINISHED, step=9, seed=3),
        summary(environment, "b", name="x", created=NOON + 2 * hour, status=Status.FAILED, step=8, seed=1),
    ]
    result = sort_summaries(runs, key)
    assert (ids(result.summaries), result.protocols) == (order, ())
    assert ids(sort_summaries(runs, key, reverse=True).summaries) == backwards


def test_sort_by_a_metric_within_one_protocol(environment: Environment) -> None:
    small = "n=5000"
    runs = [
        summary(environment, "none"),
        summary(environment, "small-low", (score(8.5, small),)),
        summary(environment, "low", (score(5.0), score(9.9, small))),
        summary(environment, "nan", (score(math.nan),)),
        summary(environment, "small-high", (score(9.0, small),)),
        summary(environment, "high", (score(7.0), score(900.0, metric="other"))),
        summary(environment, "middle", (score(6.0),)),
        summary(environment, "lowest", (score(4.0),)),
        summary(environment, "other", (score(800.0, metric="other"),)),
    ]
    best_first = sort_summaries(runs, "is")
    assert ids(best_first.summaries) == "high middle low lowest nan small-high small-low none other"
    assert best_first.protocols == ("n=50000", small)
    worst_first = sort_summaries(runs, "is", reverse=True)
    assert ids(worst_first.summaries) == "lowest low middle high nan small-low small-high none other"
    assert worst_first.protocols == ("n=50000", small)


def test_the_lower_the_better(environment: Environment) -> None:
    values = {"a": 30.0, "b": 10.0, "c": 20.0}
    runs = [
        summary(environment, name, (score(value, metric="fid", higher_is_better=False),))
        for name, value in values.items()
    ]
    assert ids(sort_summaries(runs, "fid").summaries) == "b c a"
    assert ids(sort_summaries(runs, "fid", reverse=True).summaries) == "a c b"


def test_of_equally_used_protocols_the_latest_leads(environment: Environment) -> None:
    runs = [
        summary(environment, "a", (score(9.0, "old", minute=1),)),
        summary(environment, "b", (score(1.0, "new", minute=2),)),
    ]
    assert ids(sort_summaries(runs, "is").summaries) == "b a"
    assert sort_summaries(runs, "is").protocols == ("new", "old")


def test_of_equally_used_protocols_that_of_training_leads_then_one_with_a_name(environment: Environment) -> None:
    own, other = {"checkpoint": "while training"}, {"checkpoint": "last"}
    scores = (
        score(1.0, "of training", minute=1, evidence=own),
        score(1.0, "named", minute=2, evidence={**other, "protocol name": "standard"}),
        score(9.0, "truncated", minute=3, evidence=other),
    )
    assert sort_summaries([summary(environment, "a", scores)], "is").protocols == ("of training", "named", "truncated")
    measured_again = summary(environment, "b", (score(2.0, "of training", evidence=other), *scores[1:]))
    again = replace(measured_again, last=scores)  # what a run measured itself is replaced by what is measured so again
    assert sort_summaries([again], "is").protocols == ("of training", "named", "truncated")
    assert sort_summaries([measured_again], "is").protocols == ("named", "truncated", "of training")


def test_a_protocol_is_used_as_often_as_runs_have_it(environment: Environment) -> None:
    scores = [("a", score(1.0, "twice in one", minute=k, step=k)) for k in (5, 6)]
    scores += [(run, score(1.0, "in two", minute=1)) for run in "ab"]
    assert most_used_first(scores) == ["in two", "twice in one"]
    spoilt = [(run, score(math.nan, "by no number", minute=7)) for run in "abc"]
    assert most_used_first([*spoilt, *scores]) == ["in two", "twice in one", "by no number"]


def test_the_best_of_scores() -> None:
    early, late, nan = score(2.0, step=1), score(2.0, step=2), score(math.nan, step=3)
    assert best_of([nan, score(math.inf), score(1.0), late, early]) is early
    assert best_of([nan]) is nan
    less = [score(value, metric="fid", higher_is_better=False) for value in (math.nan, 30.0, 10.0)]
    assert best_of(less).value == 10.0


def test_a_metric_that_no_run_has_changes_nothing(environment: Environment) -> None:
    runs = [summary(environment, name) for name in "cab"]
    assert ids(sort_summaries(runs, "is").summaries) == "c a b"
    assert sort_summaries(runs, "is").protocols == ()


def test_how_long_a_run_was_trained(environment: Environment) -> None:
    def trained(status: Status, **times: datetime | None) -> float | None:
        return duration_of(summary(environment, "a", status=status, **times).run)

    minute, hour = NOON + timedelta(minutes=1), NOON + timedelta(hours=1)
    assert trained(Status.QUEUED) is None
    assert trained(Status.FINISHED, started=NOON, heartbeat=minute, ended=hour) == 3600
    assert trained(Status.LOST, started=NOON, heartbeat=minute) == 60
    assert trained(Status.FINISHED, started=NOON, ended=NOON - timedelta(days=1)) is None
    now = datetime.now(UTC)
    assert trained(Status.RUNNING, started=now - timedelta(hours=2), heartbeat=now) == pytest.approx(7200, abs=60)


def test_runs_are_sorted_by_their_duration(environment: Environment) -> None:
    runs = [
        summary(environment, name, started=NOON, ended=NOON + timedelta(seconds=seconds))
        for name, seconds in (("a", 100), ("b", 20), ("c", 3))
    ]
    assert ids(sort_summaries(runs, "duration").summaries) == "c b a"

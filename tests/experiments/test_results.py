"""Which runs stand for the cases of an experiment, and what came of them."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.config import Layer
from sngan_cli.errors import DIVERGED, UsageError
from sngan_cli.experiments.experiment import Experiment, parse
from sngan_cli.experiments.plan import look_up, plan, refreshed, series_tags
from sngan_cli.experiments.results import collect, mean_and_deviation, other_series
from sngan_registry import Checkpoint, Environment, NewRun, Run, Score, Status, Store

HERE = Environment(
    sngan="0", python="3", torch="2", cuda=None, device="cpu", host=socket.gethostname(), pid=os.getpid(),
    git_commit=None, command="sngan experiments run mine.toml",
)  # fmt: skip
MINE = """
title = "Mine"
seeds = [0, 1]
[fixed]
dataset = "shapes"
arch = "standard"
[[cases]]
case = "short"
steps = 2
n_dis = 1
[[cases]]
case = "long"
steps = 3
n_dis = 2
"""
STATES: dict[str, dict[str, Any]] = {
    "interrupted": {"status": Status.INTERRUPTED, "checkpoint": 1},
    "diverged": {"status": Status.FAILED, "reason": f"{DIVERGED} at step 1"},
    "unscored": {"status": Status.FINISHED, "checkpoint": 2},
    "running": {},
    "finished": {"status": Status.FINISHED, "checkpoint": 2, "scores": [(2, 1.0)]},
}
"""How runs stand, the worst first."""

Make = Callable[..., Run]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "registry.db") as opened:
        yield opened


@pytest.fixture
def mine() -> Experiment:
    return parse(MINE, "mine", "mine.toml")


@pytest.fixture
def make(store: Store, mine: Experiment) -> Make:
    """Record a run of a case: how it ended (none: it is being trained), with which checkpoint, and scores by step."""

    def made(
        case: str,
        seed: int = 0,
        *,
        status: Status | None = None,
        reason: str | None = None,
        checkpoint: int | None = None,
        scores: list[tuple[int, float]] | None = None,
        overrides: list[Layer] | None = None,
        **settings: Any,
    ) -> Run:
        (item,) = plan(mine, [case], [seed], overrides or [], store)
        config, command = {**item.composition.config.to_dict(), **settings}, f"run by {len(store.summaries())}"
        environment = replace(HERE, command=command)
        run = store.create_run(
            NewRun(config=config, components=(), environment=environment, seed=seed, steps=2, tags=item.tags)
        )
        store.claim(run.id, environment)
        if checkpoint is not None:
            path = f"checkpoints/step-{checkpoint:08}"
            written = Checkpoint(step=checkpoint, path=path, size=1, sha256="a" * 64, created=datetime.now(UTC))
            store.add_checkpoint(run.id, written)
        for step, value in scores or ():
            evidence = {"extractor": "shapes-cnn"}
            store.add_score(run.id, Score(step=step, metric="is", value=value, std=None, higher_is_better=True,
                                          protocol="p", evidence=evidence, created=datetime.now(UTC)))  # fmt: skip
        if status is not None:
            store.close(run.id, status, step=1, reason=reason)
        return store.run(run.id)

    return made


def ids(experiment: Experiment, overrides: list[Layer], store: Store) -> dict[str, list[str]]:
    return {result.case.name: [c.run.id for c in result.runs] for result in collect(experiment, overrides, store)}


@pytest.mark.parametrize("count", range(1, 6))
def test_the_run_that_came_furthest_stands_for_a_case(mine: Experiment, store: Store, make: Make, count: int) -> None:
    made = [make("short", **how) for how in list(STATES.values())[:count]]
    (item, _) = plan(mine, [], [0], (), store)
    assert (item.run, item.state) == (made[-1], list(STATES)[count - 1])
    newest = make("short", **STATES["interrupted"])  # which counts among those that came as far
    (item,) = refreshed([item], store)
    assert (item.run, item.state) == (newest if count == 1 else made[-1], list(STATES)[count - 1])


@pytest.mark.parametrize("status", [Status.INTERRUPTED, Status.FAILED])
def test_a_run_without_anything_to_go_on_from_is_none(
    mine: Experiment, store: Store, make: Make, status: Status
) -> None:
    make("short", status=status, reason="The disk is full.")
    make("long", status=status, checkpoint=1)
    assert [(item.run is None, item.state) for item in plan(mine, [], [0], (), store)] == [
        (True, "new"),
        (False, "interrupted"),
    ]


def test_a_finished_run_whose_last_checkpoint_is_gone_is_not_scored_any_more(
    mine: Experiment, store: Store, make: Make
) -> None:
    run = make("short", status=Status.FINISHED, checkpoint=1)
    (item,) = plan(mine, ["short"], [0], (), store)
    assert look_up(store, item.tags, item.composition) == (run, "finished")


def test_overrides_are_the_same_in_any_order_and_wherever_a_run_is_made(mine: Experiment) -> None:
    one = [Layer("--set", {"seed": 1, "ema": 0.5})]
    assert series_tags(mine, one) == series_tags(mine, [Layer("a", {"ema": 0.5}), Layer("b", {"seed": 1})])
    assert series_tags(mine, one) == series_tags(mine, [*one, Layer("c", {"device": "cpu", "data_dir": "there"})])
    assert len({series_tags(mine, each) for each in ([], one, [Layer("d", {"seed": 1, "ema": 0.25})])}) == 3
    assert series_tags(mine, []) == ("experiment:mine",)


@pytest.mark.parametrize("key", ["steps", "epochs", "eval_every"])
def test_how_long_cases_are_trained_may_be_overridden_where_they_differ_in_it(mine: Experiment, key: str) -> None:
    mine.check([Layer("--set", {key: 1})])
    with pytest.raises(UsageError, match=r"--set: n_dis = 1 would override n_dis, in which the cases of mine differ"):
        mine.check([Layer("--set", {key: 1, "n_dis": 1})])


def test_overrides_win_over_what_a_case_says(mine: Experiment, store: Store) -> None:
    overrides = [Layer("--steps", {"steps": 7})]
    assert [item.composition.config.steps for item in plan(mine, [], [0], overrides, store)] == [7, 7]
    assert [item.composition.config.steps for item in plan(mine, [], [0], (), store)] == [2, 3]


def test_each_seed_has_the_run_that_came_furthest_the_newest_of_those(
    mine: Experiment, store: Store, make: Make
) -> None:
    finished = {"status": Status.FINISHED}
    one, zero = make("short", 1, **finished), make("short", 0, **finished)
    make("long", **finished)
    make("short", 0, status=Status.INTERRUPTED, checkpoint=1)
    newer = make("long", **finished)
    make("long", status=Status.FAILED)
    make("long")
    assert ids(mine, [], store) == {"short": [zero.id, one.id], "long": [newer.id]}


def test_runs_of_other_settings_than_the_newest_are_left_out(mine: Experiment, store: Store, make: Make) -> None:
    make("short", 0, status=Status.FINISHED, ema=0.125)
    newest = make("short", 1, status=Status.INTERRUPTED, checkpoint=1)
    assert ids(mine, [], store) == {"short": [newest.id], "long": []}


def test_without_overrides_runs_are_those_made_without_or_else_with_the_newest_ones(
    mine: Experiment, store: Store, make: Make
) -> None:
    first, second = [Layer("--set", {"ema": 0.5})], [Layer("--set", {"ema": 0.25})]
    by_first, by_second = (make("short", overrides=each, status=Status.FINISHED) for each in (first, second))
    assert ids(mine, [], store)["short"] == [by_second.id]
    assert ids(mine, first, store)["short"] == [by_first.id]
    plain = make("short", status=Status.FINISHED)
    make("long", overrides=second, status=Status.FINISHED)
    assert ids(mine, [], store) == {"short": [plain.id], "long": []}
    others = other_series(mine, collect(mine, [], store), store)
    assert others == ["run by 0", "run by 3"]


def test_of_each_run_the_best_score_counts_or_the_last(mine: Experiment, store: Store, make: Make) -> None:
    make("short", 0, status=Status.FINISHED, scores=[(1, 3.0), (2, 2.0)])
    make("short", 1, status=Status.FINISHED, scores=[(2, 4.0), (1, 1.0)])
    short, long = collect(mine, [], store)
    assert [score.value for score in short.scores("is")] == [3.0, 4.0]
    assert [score.value for score in short.scores("is", last=True)] == [2.0, 4.0]
    assert (short.scores("fid"), long.scores("is")) == ([], [])
    assert mean_and_deviation(short.scores("is")) == (3.5, pytest.approx(math.sqrt(0.5)))
    assert mean_and_deviation(short.scores("is")[:1]) == (3.0, None)

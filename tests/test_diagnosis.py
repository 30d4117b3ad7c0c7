"""What is said of runs: on what real runs recorded, and at the thresholds on curves made by hand.

The real runs are those of `tests/data/record_runs.py`, trained by sngan itself.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.comparison import best_step
from sngan_cli.contracts import Loss
from sngan_cli.diagnosis import ENOUGH, Finding, History, diagnose, not_looked_for
from sngan_cli.engine.step import blind_loss
from sngan_registry import Checkpoint, Environment, Run, Scalar, Score, Status

RECORDED = Path(__file__).parent / "data" / "runs"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = Environment(
    sngan="0", python="3", torch="2", cuda=None, device="cpu", host="h", pid=1, git_commit=None, command="c"
)
CONFIG: dict[str, Any] = {
    "n_dis": 1, "lr_d": 2e-4, "lr_g": 4e-4, "lr_decay": "linear", "weights": "raw", "conditional": True,
    "log_every": 10, "recipe": "paper", "loss": {"name": "hinge"}, "norm": {"name": "spectral"}, "metrics": {"is": {}},
}  # fmt: skip


# Real runs -----------------------------------------------------------------------------------------------------------


def recorded(name: str) -> History:
    """A real run, its blind loss computed by the loss that it was trained with."""
    held = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    run = run_of(held["config"], **{key: held[key] for key in ("id", "name", "reason", "step", "steps")},
                 status=Status(held["status"]))  # fmt: skip
    scores = [Score(**score) for score in held["scores"]]
    checkpoints = [checkpoint(c["step"], deleted=c["deleted"]) for c in held["checkpoints"]]
    loss = Catalog.installed().make("loss", held["config"]["loss"]["name"], {})
    assert isinstance(loss, Loss)
    return History(
        run=run,
        scalars=[Scalar(name=n, step=step, value=v) for n, points in held["scalars"].items() for step, v in points],
        scores=scores,
        checkpoints=checkpoints,
        blind=blind_loss(loss),
        best_step=best_step(run, scores, {c.step for c in checkpoints if c.deleted is None}),
    )


def test_collapse_is_seen_in_a_real_run_and_not_in_another() -> None:
    """All classes of a G that beat its D came to a picture each; those of a G that learns are as varied as can be."""
    ill = {finding.kind: finding for finding in diagnose(recorded("collapsed"))}
    assert "collapsed" in ill
    assert ill["collapsed"].step == 2000
    assert len(ill["collapsed"].figures["classes"]) == 10
    assert "in 10 of 10 classes: star (0.039), cross (0.043)" in ill["collapsed"].message
    assert not_looked_for(recorded("varied")) == []


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("healthy", ["healthy"]),
        ("reused-fakes", ["healthy"]),
        ("slow-d", ["falling"]),
        ("beaten", ["beaten", "alike"]),
        ("even", ["healthy"]),
        ("pinned-hinge", ["pinned", "alike"]),
        ("pinned-cross-entropy", ["pinned", "alike"]),
        ("won-hinge", ["won"]),
        ("won-unscored", ["won"]),
        ("won-cross-entropy", ["won", "falling"]),
        ("diverged", ["diverged"]),
        ("exploded", ["diverged"]),
        ("short", ["untold"]),
        ("collapsed", ["pinned", "collapsed", "falling"]),
        ("varied", ["healthy"]),
    ],
)
def test_real_runs(name: str, expected: list[str]) -> None:
    assert kinds(diagnose(recorded(name))) == expected


def test_every_recorded_run_is_tested() -> None:
    (parametrize,) = (mark for mark in test_real_runs.pytestmark if mark.name == "parametrize")
    assert {path.stem for path in RECORDED.glob("*.json")} == {name for name, _ in parametrize.args[1]}


@pytest.mark.parametrize(("name", "blind"), [("pinned-hinge", 2.0), ("pinned-cross-entropy", 2 * math.log(2))])
def test_a_real_pinned_run(name: str, blind: float) -> None:
    history = recorded(name)
    finding, alike = diagnose(history)
    assert history.blind == pytest.approx(blind)
    assert finding.step == 1
    assert finding.figures["loss_d"] == pytest.approx(blind, rel=1e-3)
    assert (finding.figures["recovered"], finding.figures["last_step"]) == (None, 2000)
    assert f"at {blind:.3f}" in finding.message
    assert "at step 250 to 1.000 ± 0.000 at step 2000. G is too strong for D" in finding.message
    for flag in ("--n-dis 5", "--lr-d 0.002", "--lr-g 0.0005", "--recipe fast"):
        assert f"`{flag}`" in finding.remedy
    assert f"sngan train --like {history.run.id}" in finding.remedy
    assert (alike.step, alike.figures["last"]) == (2000, pytest.approx(1, abs=1e-3))
    assert "raw weights) is 1.000 ± 0.000 at step 2000, where 1 is the least there is" in alike.message


def test_a_real_d_that_is_outrun() -> None:
    """G was two hundred times as fast as D, whose loss rose far above that of a D that tells nothing apart."""
    beaten, alike = diagnose(recorded("beaten"))
    assert beaten.step == 1
    assert beaten.figures == {
        "loss_d": pytest.approx(4.8, abs=0.2), "blind": 2.0, "recovered": None, "last_step": 599
    }  # fmt: skip
    assert "(where D tells nothing apart it is 2.000, which is better)" in beaten.message
    assert "`--lr-d 0.002`" in beaten.remedy
    assert (alike.step, alike.figures["last"]) == (600, pytest.approx(1, abs=5e-3))


def test_a_real_d_that_won() -> None:
    history = recorded("won-hinge")
    (finding,) = diagnose(history)
    assert finding.step is not None
    assert finding.step < 100
    assert finding.figures["loss_d"] < 0.1
    assert "`is` grew no better, from 1.432 ± 0.051 at step 250 to 1.453 ± 0.040 at step 2000" in finding.message
    for flag in ("--norm spectral", "--lr-d 0.0005", "--n-dis 1"):
        assert f"`{flag}`" in finding.remedy
    assert "D's norm is 'none'" in finding.remedy


def test_without_scores_the_loss_of_g_tells_that_d_won() -> None:
    (finding,) = diagnose(recorded("won-unscored"))
    assert "and G's loss kept rising, from 3.591 to 5.671" in finding.message


def test_a_real_d_that_won_while_scores_fell() -> None:
    won, falling = diagnose(recorded("won-cross-entropy"))
    assert "`is` fell, from 1.459 ± 0.020 at step 500 to 1.061 ± 0.007 at step 2000" in won.message
    assert falling.step == 750
    assert falling.figures == {
        "metric": "is", "protocol": "shapes-cnn@c206d3f1 n=1000 splits=10", "weights": "raw",
        "peak": pytest.approx(1.467, abs=1e-3), "last": pytest.approx(1.061, abs=1e-3), "last_step": 2000,
        "checkpoint": 750, "better_meanwhile": [],
    }  # fmt: skip
    assert "was best at step 750, 1.467 ± 0.028, and has come to 1.061 ± 0.007 at step 2000" in falling.message
    assert falling.remedy == "Draw with `--checkpoint best`."


def test_a_real_d_near_its_blind_value_of_which_g_learns_is_not_pinned() -> None:
    history = recorded("slow-d")
    (finding,) = diagnose(history)
    values = [scalar.value for scalar in history.scalars if scalar.name == "loss_d"]
    assert sum(values) / len(values) == pytest.approx(2, rel=0.01)
    assert "was best at step 1000, 2.140 ± 0.060, and has come to 1.975 ± 0.057 at step 1500" in finding.message


def test_a_real_run_that_diverged() -> None:
    (finding,) = diagnose(recorded("diverged"))
    assert finding.step == 100
    assert finding.message.startswith("A loss or weight became NaN or infinite by step 100")
    assert finding.message.endswith("The last checkpoint from before it is that of step 50.")
    assert "--lr-d 0.0002 --lr-g 0.0002 --norm spectral" in finding.remedy


def test_a_real_run_whose_losses_grew_beyond_all_measure() -> None:
    (finding,) = diagnose(recorded("exploded"))
    assert finding.step == 1
    assert "G's loss was -4.1e+16 at step 1" in finding.message


def test_a_real_healthy_run_is_told_with_its_evidence() -> None:
    (finding,) = diagnose(recorded("healthy"))
    assert (finding.step, finding.remedy) == (3000, "")
    assert (
        "D's loss stayed between 0.757 and 1.839 (running mean; where it tells nothing apart it is 2.000)"
        in finding.message
    )
    assert "is 4.056 ± 0.188 at step 3000, after 4.079 ± 0.129 at step 2400" in finding.message


def test_a_real_short_run_is_not_called_healthy() -> None:
    (finding,) = diagnose(recorded("short"))
    assert "D's loss was recorded 11 times up to step 100; it takes 50" in finding.message
    assert "--resume 1m87sj6cnrz --steps 500`" in finding.remedy


# Curves made by hand -------------------------------------------------------------------------------------------------


def run_of(config: Mapping[str, Any], **values: Any) -> Run:
    usual: dict[str, Any] = {
        "id": "1abc", "name": None, "status": Status.FINISHED, "reason": None, "parent": None, "seed": 0, "step": 2000,
        "steps": 2000, "environment": ENVIRONMENT, "created": NOW, "started": NOW, "ended": NOW, "heartbeat": NOW,
        "note": None, "tags": (),
    }  # fmt: skip
    return Run(config=config, **usual | values)


def checkpoint(step: int, *, deleted: bool = False) -> Checkpoint:
    return Checkpoint(step=step, path=f"c/{step}", size=1, sha256="0" * 64, deleted=NOW if deleted else None)


def score(step: int, value: float, std: float | None = None, metric: str = "is", **more: Any) -> Score:
    usual = {"higher_is_better": True, "protocol": "p", "evidence": {"generator_weights": "raw"}}
    return Score(metric=metric, step=step, value=value, std=std, **{**usual, **more})


def history(
    loss_d: Callable[[int], float] = lambda k: 1.2,
    *,
    loss_g: Callable[[int], float] = lambda k: 0.5,
    readings: int = 200,
    scores: Sequence[Score] = (),
    on_disk: Sequence[int] = (2000,),
    best: int | None = None,
    blind: float | None = 2.0,
    **config: Any,
) -> History:
    """Two losses, read every ten steps up to step 2000: `loss_d(k)` is the k-th reading."""
    curves = {"loss_d": loss_d, "loss_g": loss_g}
    scalars = [Scalar(name=n, step=10 * (k + 1), value=of(k)) for n, of in curves.items() for k in range(readings)]
    return History(run_of({**CONFIG, **config}), scalars, scores, [*map(checkpoint, on_disk)], blind, best)


def noisy(mean: float, deviation: float) -> Callable[[int], float]:
    draw = random.Random(0)
    return lambda k: draw.gauss(mean, deviation)


@pytest.mark.parametrize(
    ("loss_d", "expected"),
    [
        (lambda k: 2.0, "pinned"),
        (noisy(2.0, 0.05), "pinned"),  # single readings are off by more than the 3 %, their means and most are not
        (lambda k: 2.05, "pinned"),
        (lambda k: 2.07, "beaten"),
        (lambda k: 4.5, "beaten"),
        (noisy(4.5, 1.0), "beaten"),
        (noisy(2.0, 0.3), "healthy"),  # it tells many a batch apart
        (lambda k: 1.0 if k % 10 else 20.0, "healthy"),  # above in the mean, by few readings
        (lambda k: 4.5 if k < 40 else 1.5, "healthy"),
        (lambda k: 1.5 if k < 140 else 2.5, "beaten"),
        (lambda k: 1.95, "pinned"),
        (lambda k: 1.93, "healthy"),
        (lambda k: 2.0 if k < 40 else 1.5, "healthy"),  # every run begins near it
        (lambda k: 1.5 if k < 140 else 2.0, "pinned"),
        (lambda k: 1.5 if k < 160 else 2.0, "healthy"),  # for a fifth of the run
    ],
)
def test_d_is_pinned_by_a_mean_near_its_blind_value_for_a_quarter_of_the_run(loss_d: Any, expected: str) -> None:
    flat = [score(step, 2.0) for step in (10, 200, 400, 1000, 1500, 2000)]
    assert kinds(diagnose(history(loss_d, scores=flat))) == [expected]


@pytest.mark.parametrize(
    ("loss_d", "expected"),
    [
        (lambda k: 2.0, "pinned"),
        (noisy(2.5, 0.1), "beaten"),
        (noisy(2.0, 0.05), "healthy"),  # of half of its batches it tells something
        (lambda k: 1.995, "healthy"),
        (lambda k: 1.9 if k % 5 == 0 else 2.1, "beaten"),
        (lambda k: 1.9 if k % 3 == 0 else 2.1, "healthy"),
    ],
)
def test_without_scores_a_loss_that_crosses_the_blind_value_is_no_finding(loss_d: Any, expected: str) -> None:
    (finding,) = diagnose(history(loss_d))
    assert finding.kind == expected
    told = "D is hardly ahead of G, and there are too few scores to tell whether G learns all the same."
    assert (told in finding.message) == (expected == "healthy")


def test_it_is_said_since_when_d_is_pinned() -> None:
    (finding,) = diagnose(history(lambda k: 1.5 if k < 100 else 2.0))
    assert finding.step == 1010
    assert finding.message.startswith("Since step 1010, and still at step 2000, D's loss has stood at 2.000 ")


def test_a_pinned_d_that_recovered_is_told_last() -> None:
    ill = history(lambda k: 2.0 if k < 100 else 1.2, scores=[score(1500, 5.0), score(2000, 3.0)])
    falling, pinned = diagnose(ill)
    assert kinds([falling, pinned]) == ["falling", "pinned"]
    assert (pinned.step, pinned.figures["recovered"]) == (10, 1000)
    assert pinned.message.startswith("From step 10 to step 1000 D's loss stood at 2.000")
    assert "has recovered since" in pinned.message
    assert pinned.remedy.startswith("Nothing needs to be done")


def test_d_is_not_pinned_while_scores_rise() -> None:
    (finding,) = diagnose(history(lambda k: 2.0, scores=[score(500, 2.0, 0.1), score(2000, 3.0, 0.1)]))
    assert finding.kind == "healthy"
    assert "D is hardly ahead of G, but scores rose meanwhile" in finding.message


def test_the_value_of_another_loss_counts() -> None:
    assert kinds(diagnose(history(lambda k: 0.5, blind=0.5))) == ["pinned"]
    assert kinds(diagnose(history(lambda k: 2.0, blind=0.5))) == ["beaten"]
    assert kinds(diagnose(history(lambda k: 0.4, blind=0.5))) == ["healthy"]


@pytest.mark.parametrize(("blind", "why"), [(None, "cannot be computed here"), (0.0, "is not above 0")])
def test_without_a_blind_value_neither_pinned_nor_won_is_looked_for(blind: float | None, why: str) -> None:
    unknown = history(lambda k: 0.0, loss_g=float, blind=blind)
    assert kinds(diagnose(unknown)) == ["healthy"]
    assert any(why in note and "'hinge'" in note for note in not_looked_for(unknown))


@pytest.mark.parametrize(
    ("loss_d", "expected"),
    [
        (lambda k: 0.09, "won"),
        (lambda k: 0.11, "healthy"),
        (lambda k: 3.0 if k % 5 == 0 else 0.0, "won"),  # it errs on one batch of five
        (lambda k: 3.0 if k % 2 == 0 else 0.0, "healthy"),
        (lambda k: 0.0 if k < 150 else 1.0, "healthy"),  # it did win, and no longer does
    ],
)
def test_d_has_won_by_most_readings_near_0(loss_d: Any, expected: str) -> None:
    flat = [score(500, 2.0), score(1000, 2.0), score(2000, 2.0)]
    assert kinds(diagnose(history(loss_d, scores=flat))) == [expected]


def test_what_a_d_that_has_won_reads_is_told_by_the_median_of_its_loss() -> None:
    (finding,) = diagnose(history(lambda k: 3.0 if k % 5 == 0 else 0.01, scores=[score(500, 2.0), score(2000, 2.0)]))
    assert finding.figures["loss_d"] == 0.01
    assert "(by median at 0.010; where D tells nothing apart it is 2.000)" in finding.message


def test_d_has_not_won_while_g_learns() -> None:
    rising = [score(500, 2.0), score(2000, 4.0)]
    assert kinds(diagnose(history(lambda k: 0.01, scores=rising))) == ["healthy"]
    assert kinds(diagnose(history(lambda k: 0.01, loss_g=noisy(3, 1)))) == ["healthy"]
    assert kinds(diagnose(history(lambda k: 0.01, loss_g=lambda k: k / 50))) == ["won"]


def test_spectral_norm_is_advised_only_where_it_is_missing() -> None:
    (finding,) = diagnose(history(lambda k: 0.01, loss_g=lambda k: k / 50))
    assert "--norm" not in finding.remedy
    assert finding.remedy == "Weaken D (n_dis 1, lr_d 0.0002): `sngan train --like 1abc` with `--lr-d 5e-05`."


@pytest.mark.parametrize(
    ("peak", "last", "higher_is_better", "falls"),
    [
        ((5.0, 0.1), (4.7, 0.1), True, True),
        ((5.0, 0.2), (4.7, 0.2), True, False),  # within their spread
        ((5.0, 0.0), (4.8, 0.0), True, False),  # within the margin of 5 %
        ((5.0, None), (4.7, None), True, True),
        ((20.0, None), (22.0, None), False, True),
        ((22.0, None), (20.0, None), False, False),
        ((20.0, None), (20.9, None), False, False),
    ],
)
def test_scores_fall_by_more_than_their_spread_and_a_margin(
    peak: Any, last: Any, higher_is_better: bool, falls: bool
) -> None:
    scores = [
        score(step, *of, higher_is_better=higher_is_better) for step, of in ((1000, peak), (2000, last))
    ]  # fmt: skip
    assert kinds(diagnose(history(scores=scores))) == (["falling"] if falls else ["healthy"])


@pytest.mark.parametrize(
    ("metric", "peak", "last", "counts", "falls"),
    [
        ("accuracy", 0.107, 0.097, {"images": 1000}, False),  # of 1000 images at chance: +- 0.0095
        ("accuracy", 0.107, 0.097, {"images": 50_000}, True),
        ("accuracy", 0.9, 0.8, {"images": 1000}, True),
        ("precision", 0.54, 0.46, {"images": 200, "real": 50_000}, False),
        ("precision", 0.54, 0.46, {"images": 2000, "real": 50_000}, True),
        ("recall", 0.030, 0.015, {"images": 50_000, "real": 600}, False),
        ("coverage", 0.030, 0.015, {"images": 600, "real": 50_000}, True),
        ("density", 0.54, 0.46, {"images": 200, "real": 200}, True),  # is no fraction
        ("accuracy", 0.9, 0.8, {}, True),  # nobody knows of how many
    ],
)
def test_fractions_of_images_fall_by_more_than_their_number_allows(
    metric: str, peak: float, last: float, counts: dict[str, int], falls: bool
) -> None:
    evidence = {"generator_weights": "raw", **counts}
    scores = [
        score(step, value, metric=metric, evidence=evidence) for step, value in ((1000, peak), (2000, last))
    ]  # fmt: skip
    assert kinds(diagnose(history(scores=scores))) == (["falling"] if falls else ["healthy"])


def test_where_metrics_disagree_no_checkpoint_is_called_better() -> None:
    fid: dict[str, Any] = {"metric": "fid", "higher_is_better": False}
    falling = [score(1000, 5.0), score(2000, 3.0)]
    (finding,) = diagnose(
        history(scores=[*falling, score(1000, 49.45, **fid), score(2000, 39.72, **fid)], on_disk=(1000, 2000), best=500)
    )
    assert finding.message == (
        "`is` (p, raw weights) was best at step 1000, 5.000, and has come to 3.000 at step 2000. "
        "Metrics disagree, as others became better meanwhile: `fid` from 49.450 to 39.720."
    )
    assert finding.remedy == (
        "The sheets of samples in the run's folder show which to believe. If it is `is`: draw with `--checkpoint 1000`."
    )
    assert finding.figures["better_meanwhile"] == ["fid"]
    averaged = {**fid, "evidence": {"generator_weights": "averaged"}}
    for others in (
        [score(1000, 40.0, **fid), score(2000, 39.72, **fid)],  # within the margin
        [score(1500, 49.45, **fid), score(2000, 39.72, **fid)],  # since another checkpoint
        [score(1000, 49.45, **averaged), score(2000, 39.72, **averaged)],
        [score(1000, 3.0, protocol="q"), score(2000, 5.0, protocol="q")],  # of the same metric
    ):
        (finding,) = diagnose(history(scores=[*falling, *others]))
        assert finding.message.endswith("at step 2000: G drew better pictures then than it does now.")


def test_scores_of_other_protocols_and_weights_are_not_compared() -> None:
    averaged = {"generator_weights": "averaged"}
    others = [score(500, 9.0, protocol="q"), score(1000, 8.0, evidence=averaged), score(1500, 3.0), score(2000, 3.1)]
    assert kinds(diagnose(history(scores=others))) == ["healthy"]
    both = [*others, score(2000, 5.0, evidence=averaged)]
    (finding,) = diagnose(history(scores=both))
    assert "`is` (p, averaged weights) was best at step 1000" in finding.message


@pytest.mark.parametrize(
    ("on_disk", "best", "used", "remedy"),
    [
        ((1000, 2000), 1000, 1000, "Draw with `--checkpoint best`."),
        ((1000, 2000), 500, 1000, "Draw with `--checkpoint 1000`."),  # best is that of another metric
        ((1500, 2000), 1500, 1500, "Draw with `--checkpoint best` (step 1500, 4.000: the best that is left on disk)."),
        ((2000,), 2000, None, "No checkpoint that scored better is left on disk."),
        ((), None, None, "No checkpoint that scored better is left on disk."),
    ],
)
def test_the_checkpoint_to_use_is_one_that_is_there(on_disk: Any, best: Any, used: int | None, remedy: str) -> None:
    scores = [score(500, 1.0), score(1000, 5.0), score(1500, 4.0), score(2000, 3.0)]
    (finding,) = diagnose(history(scores=scores, on_disk=on_disk, best=best))
    assert finding.figures["checkpoint"] == used
    assert finding.remedy.startswith(remedy)


def test_a_rate_that_never_decays_is_mentioned_where_scores_fall() -> None:
    scores = [score(1000, 5.0), score(2000, 3.0)]
    for on_disk in ((1000, 2000), (2000,)):
        (finding,) = diagnose(history(scores=scores, on_disk=on_disk, lr_decay="none"))
        assert "--lr-decay linear`" in finding.remedy


def diversity(value: float, classes: Mapping[str, float] | None = None) -> Score:
    """A score of the metric `diversity`, made by hand: its evidence has the ratio of each class."""
    own = {} if classes is None else {"classes": classes}
    return score(2000, value, metric="diversity", evidence={"generator_weights": "raw", **own})


def test_collapsed_classes_are_named_lowest_first() -> None:
    (finding,) = diagnose(history(scores=[diversity(0.6, {"cat": 0.2, "dog": 0.9, "owl": 0.01, "ant": 0.25})]))
    assert finding.kind == "collapsed"
    assert "in 2 of 4 classes: owl (0.010), cat (0.200)." in finding.message
    assert finding.figures["classes"] == {"owl": 0.01, "cat": 0.2}


def test_at_most_ten_classes_are_named() -> None:
    (finding,) = diagnose(history(scores=[diversity(0.05, {f"class {k:02}": k / 100 for k in range(13)})]))
    assert "class 09 (0.090) and 3 more." in finding.message
    assert "class 10" not in finding.message
    assert len(finding.figures["classes"]) == 13


def test_collapse_of_an_unconditional_run() -> None:
    assert kinds(diagnose(history(scores=[diversity(0.24)]))) == ["collapsed"]
    assert kinds(diagnose(history(scores=[diversity(0.26)]))) == ["healthy"]


def test_diversity_that_falls_to_the_datas_is_no_fall() -> None:
    early = score(1000, 2.1, metric="diversity", evidence={"generator_weights": "raw"})
    assert kinds(diagnose(history(scores=[early, diversity(1.1)]))) == ["healthy"]


@pytest.mark.parametrize(("weights", "expected"), [("raw", "healthy"), ("averaged", "collapsed")])
@pytest.mark.parametrize("backwards", [False, True])
def test_of_one_step_the_diversity_of_the_weights_counts_that_the_run_is_drawn_with(
    weights: str, expected: str, backwards: bool
) -> None:
    both = [diversity(0.8), score(2000, 0.1, metric="diversity", evidence={"generator_weights": "averaged"})]
    assert kinds(diagnose(history(scores=both[:: -1 if backwards else 1], weights=weights))) == [expected]


def test_the_last_diversity_counts() -> None:
    before = score(1000, 0.1, metric="diversity", evidence={"generator_weights": "raw", "classes": {"cat": 0.1}})
    assert kinds(diagnose(history(scores=[before, diversity(0.8, {"cat": 0.8})]))) == ["healthy"]


def test_the_least_inception_score_there_is_after_training_is_a_finding() -> None:
    (finding,) = diagnose(history(scores=[score(1000, 1.0, 0.01), score(2000, 1.04, 0.01)]))
    assert (finding.kind, finding.step) == ("alike", 2000)
    assert "`is` (p, raw weights) is 1.040 ± 0.010 at step 2000, where 1 is the least there is" in finding.message
    assert "sngan train --like 1abc" in finding.remedy


@pytest.mark.parametrize(
    "scores",
    [
        [score(2000, 1.06)],
        [score(499, 1.0)],  # every G begins so
        [score(1000, 1.0), score(2000, 1.5)],
        [score(2000, 1.0, metric="mine")],  # of which nothing is known
        [score(2000, 1.0, evidence={"generator_weights": "raw", "truncation": 0.01})],
    ],
)
def test_other_scores_near_1_are_no_finding(scores: Sequence[Score]) -> None:
    assert kinds(diagnose(history(scores=scores))) == ["healthy"]


def test_collapse_that_was_measured_is_not_said_twice() -> None:
    assert kinds(diagnose(history(scores=[score(2000, 1.0), diversity(0.1)]))) == ["collapsed"]


@pytest.mark.parametrize(
    ("metric", "pictures"),
    [("is", "better"), ("density", "better"), ("recall", "more varied"), ("coverage", "more varied")],
)
def test_it_is_said_what_fell(metric: str, pictures: str) -> None:
    (finding,) = diagnose(history(scores=[score(1000, 5.0, metric=metric), score(2000, 3.0, metric=metric)]))
    assert finding.message.endswith(f"at step 2000: G drew {pictures} pictures then than it does now.")


def test_it_is_said_where_collapse_was_not_looked_for() -> None:
    (note,) = not_looked_for(history())
    assert note.startswith("Collapse of classes was not looked for: `sngan evaluate ")
    assert note.endswith(" --metric diversity --protocol quick` measures it.")
    assert not_looked_for(history(scores=[diversity(0.9, {})])) == []
    (note,) = not_looked_for(history(on_disk=()))
    assert note == "Collapse of classes was not looked for: no checkpoint is on disk to measure it by."


@pytest.mark.parametrize(("readings", "enough"), [(0, False), (ENOUGH - 1, False), (ENOUGH, True)])
def test_too_few_readings_tell_nothing(readings: int, enough: bool) -> None:
    pinned, won = history(lambda k: 2.0, readings=readings), history(lambda k: 0.0, loss_g=float, readings=readings)
    assert kinds([*diagnose(pinned), *diagnose(won)]) == (["pinned", "won"] if enough else ["untold"] * 2)


def test_a_single_reading_is_said_to_be_one() -> None:
    (finding,) = diagnose(replace(history(readings=1), run=run_of(CONFIG, step=0)))
    assert "D's loss was recorded once up to step 10; it takes 50." in finding.message


@pytest.mark.parametrize(
    ("status", "steps", "on_disk", "remedy"),
    [
        (Status.INTERRUPTED, 5000, (90,), "Train it to its end (`sngan train --resume 1abc`)"),
        (Status.LOST, 5000, (50,), "Train it to its end (`sngan train --resume 1abc`)"),
        (Status.LOST, 500, (50,), "Train it to its end (`sngan train --resume 1abc`)"),
        (Status.FINISHED, 90, (90,), "Train it for 500 steps at least (`sngan train --resume 1abc --steps 500`)"),
        (Status.INTERRUPTED, 200, (90,), "Train it for 500 steps at least (`sngan train --resume 1abc --steps 500`)"),
        (Status.LOST, 5000, (), "No checkpoint is on disk to go on from. Begin again (`sngan train --like 1abc`)"),
        (Status.FAILED, 200, (), "No checkpoint is on disk to go on from. Begin again (`sngan train --like 1abc "
                                 "--steps 500`)"),
        (Status.RUNNING, 5000, (50,), "It is not trained to its end yet: wait, or follow it with `sngan runs watch "
                                      "1abc`."),
    ],
)  # fmt: skip
def test_a_run_of_which_little_is_known_is_told_a_way_on_that_is_open(
    status: Status, steps: int, on_disk: Sequence[int], remedy: str
) -> None:
    run = run_of(CONFIG, status=status, steps=steps, step=0)  # of a run that is killed the last steps are not known
    (finding,) = diagnose(replace(history(readings=9, on_disk=on_disk), run=run))
    assert finding.kind == "untold"
    assert "recorded 9 times up to step 90;" in finding.message
    assert finding.remedy.startswith(remedy)


def test_a_run_whose_losses_were_recorded_seldom_is_trained_beyond_where_it_is() -> None:
    """Its losses were recorded less often at first, so that it has more steps than so many readings take."""
    run = run_of({**CONFIG, "log_every": 1}, step=200, steps=200)
    (finding,) = diagnose(replace(history(readings=20), run=run))
    assert "`sngan train --resume 1abc --steps 230`" in finding.remedy


def test_nan_in_a_curve_is_told_as_divergence_and_is_no_healthy_run() -> None:
    (finding,) = diagnose(history(lambda k: math.nan if k == 150 else 1.2))
    assert (finding.kind, finding.step) == ("diverged", 1510)


def test_a_run_that_diverged_is_told_by_the_step_of_its_reason_and_the_last_checkpoint() -> None:
    """More steps may have been done by the time that a loss is looked at."""
    reason = "Training diverged: the loss of D was nan by step 1234; all was well at step 1200. Try a smaller --lr-d."
    run = run_of(CONFIG, status=Status.FAILED, reason=reason, step=1250)
    (finding,) = diagnose(replace(history(on_disk=(500, 1000, 750)), run=run))
    assert (finding.kind, finding.step) == ("diverged", 1234)
    assert finding.figures == {"last_good_step": 1200, "checkpoint": 1000}
    assert finding.message == (
        "A loss or weight became NaN or infinite by step 1234; all was well at step 1200. Training cannot go on from "
        "there. The last checkpoint from before it is that of step 1000."
    )


@pytest.mark.parametrize(("blind", "expected"), [(2.0, "diverged"), (1e7, "healthy"), (-1e7, "healthy")])
def test_losses_are_beyond_all_measure_by_that_of_the_loss_that_was_trained_with(blind: float, expected: str) -> None:
    assert kinds(diagnose(history(lambda k: 5e6, blind=blind))) == [expected]


def test_scores_of_a_healthy_run_are_told_beside_their_best() -> None:
    (rising,) = diagnose(history(scores=[score(1000, 5.0), score(2000, 6.0)]))
    assert rising.message.endswith("is 6.000 at step 2000, the best so far.")
    (wandering,) = diagnose(history(scores=[score(1000, 5.1), score(2000, 5.0)]))
    assert wandering.message.endswith("is 5.000 at step 2000, after 5.100 at step 1000.")


def test_the_worst_comes_first() -> None:
    ill = history(lambda k: 2.0, scores=[score(1000, 5.0), score(2000, 3.0), diversity(0.1, {"cat": 0.1})])
    assert kinds(diagnose(ill)) == ["pinned", "collapsed", "falling"]

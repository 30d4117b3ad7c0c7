"""`sngan runs compare`: what differs between runs, and no score beside one that was measured otherwise."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sngan_cli import trained_extractors
from sngan_cli.comparison import Compared, differences, measured
from sngan_cli.config import protocols as named
from sngan_cli.contracts import Extractor, LoadedExtractor
from sngan_registry import Checkpoint, Component, Environment, NewRun, Run, Score, Status, Store

ENVIRONMENT = Environment(
    sngan="0.1.0", python="3.11", torch="2.15", cuda=None, device="cpu", host="elsewhere", pid=1, git_commit=None,
    command="sngan train --dataset shapes",
)  # fmt: skip
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CONFIG: dict[str, Any] = {
    "recipe": "paper", "n_dis": 5, "lr_g": 2e-4, "lr_d": 2e-4, "ema": 0.999, "weights": "raw", "seed": 0,
    "dataset": {"name": "shapes", "images": 4000}, "arch_g": {"name": "standard", "width": 1.0},
    "arch_d": {"name": "standard", "width": 1.0}, "loss": {"name": "hinge"}, "extractor": {"name": "inception-v3"},
    "metrics": {"is": {"splits": 10}, "fid": {}},
}  # fmt: skip
QUICK, TRAINING = "inception-v3@12345678 n=5000 splits=10", "inception-v3@12345678 n=1000 splits=10"


@pytest.fixture
def store(home: Path) -> Any:
    with Store.open(home / "registry.db") as opened:
        yield opened


def add_run(
    store: Store, name: str | None, *scores: Score, checkpoints: int = 1, versions: dict[str, str] | None = None,
    packages: dict[str, str] | None = None, status: Status = Status.FINISHED, reason: str | None = None,
    data_sha256: str | None = None, **settings: Any,
) -> str:  # fmt: skip
    components = tuple(
        Component(role=f"role{k}", name="x", distribution=distribution, version=version, options={})
        for k, (distribution, version) in enumerate((packages or {"sngan": "0.1.0"}).items())
    )
    environment = replace(ENVIRONMENT, **(versions or {}))
    run = store.create_run(
        NewRun(
            config=CONFIG | settings, components=components, environment=environment, seed=0, steps=100, name=name,
            data_sha256=data_sha256,
        )
    )  # fmt: skip
    store.claim(run.id, environment)
    for score in scores:
        store.add_score(run.id, score)
    for k in range(checkpoints):
        path = f"checkpoints/step-{100 - k:08d}"
        store.add_checkpoint(run.id, Checkpoint(step=100 - k, path=path, size=1, sha256="a" * 64))
    store.close(run.id, status, step=100 if status is Status.FINISHED else 7, reason=reason)
    return run.id


def score(value: float, protocol: str = QUICK, *, metric: str = "is", step: int = 100, **evidence: Any) -> Score:
    settings = dict(word.split("=") for word in protocol.split()[1:])
    usual: dict[str, Any] = {
        "extractor": protocol.partition("@")[0], "images": int(settings.pop("n")), "generator_weights": "raw",
        **{key: int(value) if value.isdigit() else value for key, value in settings.items()},
        **({"protocol name": "quick"} if "n=5000" in protocol else {}),
    }  # fmt: skip
    return Score(
        metric=metric, step=step, value=value, std=None if metric == "fid" else 0.25, protocol=protocol,
        higher_is_better=metric != "fid", evidence={**usual, **evidence},
    )  # fmt: skip


def rows(text: str) -> list[list[str]]:
    """Cells of every line, told apart by two spaces."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def block(text: str, heading: str) -> str:
    """The part of the output under a heading, up to an empty line."""
    (found,) = [part for part in text.split("\n\n") if part.startswith(heading)]
    return found


def test_scores_that_other_versions_of_a_package_measured_are_told_apart(sngan: Any, store: Store) -> None:
    add_run(store, "old", score(1.0, metric_package="zoo 1.0", extractor_package="zoo 1.0"))
    add_run(store, "new", score(2.0, metric_package="zoo 2.0", extractor_package="zoo 1.0"))
    add_run(store, "own", score(3.0))
    said = "Measured by different packages, whose values may differ: zoo 1.0; zoo 2.0, zoo 1.0.\n"
    assert said in sngan("runs", "compare", "old", "new").out
    assert "zoo 1.0; sngan's own.\n" in sngan("runs", "compare", "old", "own").out
    assert "different packages" not in sngan("runs", "compare", "own", "own").out


def test_only_what_differs_is_shown(sngan: Any, store: Store) -> None:
    add_run(store, "one", packages={"sngan": "0.1.0"})
    add_run(
        store, "other", packages={"sngan": "0.1.0", "sngan-example": "1.2"}, versions={"torch": "2.16"}, n_dis=1,
        lr_g=1e-4, lr_d=1e-4, loss={"name": "least-squares", "target": 0.9, "unset": None},
    )  # fmt: skip
    settings = rows(sngan("runs", "compare", "one", "other").out.split("\n\n")[0])
    assert settings[1:] == [
        ["name", "one", "other"], ["status", "finished", "finished"], ["step", "100", "100"], ["n_dis", "5", "1"],
        ["lr", "0.0002", "0.0001"], ["loss", "hinge", "least-squares"], ["loss.target", "0.9"],
        ["torch", "2.15", "2.16"], ["sngan-example", "1.2"],
    ]  # fmt: skip


def test_both_networks_are_named_where_one_run_has_them_differ(sngan: Any, store: Store) -> None:
    add_run(store, "one")
    add_run(store, "other", lr_g=1e-4, arch_g={"name": "standard", "width": 0.5})
    shown = sngan("runs", "compare", "one", "other").out
    assert "lr_g          0.0002       0.0001" in shown
    assert "arch_g.width  1.0          0.5" in shown
    assert "lr_d" not in shown


def test_a_number_and_the_word_that_it_is_written_by_differ() -> None:
    assert differences({"a": {"x": 1, "y": 1}, "b": {"x": "1", "y": 1}}) == {"x": {"a": 1, "b": "1"}}


def test_what_runs_were_made_with_is_told_apart(sngan: Any, store: Store) -> None:
    one = add_run(store, None, versions={"cuda": "13.0", "host": "here", "git_commit": "0123456789abcdef"})
    other = add_run(store, None, versions={"python": "3.12", "host": "there", "device": "cuda:0"})
    assert sngan("runs", "diff", one, other, "--json").json["versions"] == {
        "python": {one: "3.11", other: "3.12"}, "CUDA": {one: "13.0"}, "host": {one: "here", other: "there"},
        "trained on": {one: "cpu", other: "cuda:0"}, "git": {one: "0123456789ab"},
    }  # fmt: skip


def test_runs_alike_are_said_to_be(sngan: Any, store: Store) -> None:
    one, other = add_run(store, None), add_run(store, None)
    assert "They differ in no setting." in sngan("runs", "compare", one, other).out


def test_a_diff_is_what_differs_and_nothing_else(sngan: Any, store: Store) -> None:
    one = add_run(store, "one", score(3.0), n_dis=1)
    other = add_run(store, None, score(4.0), checkpoints=0, versions={"torch": "2.16"})
    done = sngan("runs", "diff", "one", other)
    assert rows(done.out) == [["run", one, other], ["name", "one"], ["n_dis", "1", "5"], ["torch", "2.15", "2.16"]]
    assert sngan("runs", "diff", "one", other, "--json").json == {
        "settings": {"n_dis": {one: 1, other: 5}}, "versions": {"torch": {one: "2.15", other: "2.16"}},
    }  # fmt: skip
    assert sngan("runs", "diff", "one").code == 2
    assert sngan("runs", "diff", "one", "nobody").code == 3


def test_scores_stand_together_within_a_protocol_only(sngan: Any, store: Store) -> None:
    one = add_run(store, "one", score(5.0), score(6.0, step=50), score(9.0, TRAINING))
    other = add_run(store, "other", score(5.5))
    done = sngan("runs", "compare", "one", "other")
    assert (done.code, done.err) == (0, "")
    shared = block(done.out, f"is by quick ({QUICK}), greater is better")
    assert rows(shared)[1:] == [
        ["run", "name", "weights", "best", "at step", "last", "at step"],
        [one, "one", "raw", "▸ 6.0000 ± 0.2500", "50", "5.0000 ± 0.2500", "100"],
        [other, "other", "raw", "5.5000 ± 0.2500", "100", "▸ 5.5000 ± 0.2500", "100"],
    ]
    alone = block(done.out, f"is by {TRAINING}")
    assert rows(alone)[1:3] == [
        ["run", "name", "weights", "value", "at step"], [one, "one", "raw", "9.0000 ± 0.2500", "100"],
    ]  # fmt: skip
    assert "Only this run was measured by this protocol: it compares with none of the others." in alone
    assert "sngan evaluate" not in done.out  # no protocol has 1 000 images, and quick is shared already


def test_the_last_score_is_that_of_the_last_step_and_each_step_counts_once() -> None:
    """They come in any order: one step may be measured with several seeds."""
    scores = [score(5.0, step=100), score(4.0, step=50), score(6.0, step=50, seed=1)]
    run = cast("Run", SimpleNamespace(id="a"))
    (block,) = measured([Compared(run, (), [replace(each, created=NOON) for each in scores], 1)], "is")
    (entry,) = block.entries
    assert (entry.best.value, entry.last.value, entry.steps) == (6.0, 5.0, 2)


def test_of_equally_good_runs_each_leads(sngan: Any, store: Store) -> None:
    for name, value in (("one", 5.5), ("other", 5.5), ("worse", 5.0)):
        add_run(store, name, score(value))
    shown = block(sngan("runs", "compare", "one", "other", "worse").out, "is by quick")
    assert [row[3] for row in rows(shown)[2:]] == ["▸ 5.5000 ± 0.2500", "▸ 5.5000 ± 0.2500", "5.0000 ± 0.2500"]


def test_less_is_better_where_it_is(sngan: Any, store: Store) -> None:
    protocol = "inception-v3@12345678 n=5000 real=5000"
    add_run(store, "one", score(20.0, protocol, metric="fid"))
    add_run(store, "other", score(10.0, protocol, metric="fid"))
    shown = block(sngan("runs", "compare", "one", "other").out, f"fid by quick ({protocol}), less is better")
    assert [row[3] for row in rows(shown)[2:]] == ["20.0000", "▸ 10.0000"]


def test_what_was_not_measured_is_said_with_the_way_to_measure_it(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0))
    add_run(store, "two", score(4.0), score(6.0, step=50))
    three = add_run(store, "three", score(9.0, TRAINING), checkpoints=2)
    add_run(store, "four", checkpoints=0, status=Status.FAILED, reason="Training diverged: a loss became NaN.")
    done = sngan("runs", "compare", "one", "two", "three", "four")
    shared = block(done.out, "is by quick")
    assert "9.0000" not in shared
    assert re.search(r"not comparable with these: \w+ \(three\), \w+ \(four\)\.", shared)
    commands = [line for line in shared.splitlines() if "sngan evaluate" in line]
    assert commands == [f"  sngan evaluate {three} --metric is --protocol quick --checkpoint all"]
    assert re.search(
        r"\(four\) failed: Training diverged: a loss became NaN\.\n\w+ \(four\) has no checkpoint", done.out
    )
    assert ["step", "100", "100", "100", "7/100"] in rows(done.out)


@pytest.mark.parametrize(
    ("protocol", "metric", "evidence", "command"),
    [
        ("inception-v3@1 n=50000 splits=10", "is", {}, "--metric is"),
        ("inception-v3@1 n=10000 splits=1", "is", {}, "--metric is --protocol article"),
        ("inception-v3@1 n=10000 real=5000", "fid", {}, "--metric fid --protocol sngan-2018"),
        ("inception-v3@1 n=10000 real=4000", "fid", {"protocol name": "sngan-2018"},
         "--metric fid --protocol sngan-2018"),
        ("inception-v3@1 n=10000 real=4000", "fid", {"data_images": 4000}, "--metric fid --protocol sngan-2018"),
        ("inception-v3@1 n=50000 real=4000", "fid", {"protocol name": "standard"}, "--metric fid"),
        ("inception-v3@1 n=5000 splits=5", "is", {}, "--metric is --protocol quick --set metrics.is.splits=5"),
        ("inception-v3@1 n=5000 real=5000 subset_size=500", "kid", {},
         "--metric kid --protocol quick --set metrics.kid.subset_size=500"),
        ("inception-v3@1 n=5000 real=5000 subset_size=1000 subsets=100", "kid", {}, "--metric kid --protocol quick"),
        ("inception-v3@1 n=5000 seed=11 splits=10", "is", {}, "--metric is --protocol quick --seed 11"),
        ("inception-v3@1 labels=data n=5000 precision=bf16 splits=10 truncation=0.5", "is", {},
         "--metric is --protocol quick --labels data --truncation 0.5 --precision bf16"),
    ],
)  # fmt: skip
def test_the_command_measures_by_the_same_protocol(
    sngan: Any, store: Store, protocol: str, metric: str, evidence: dict[str, Any], command: str
) -> None:
    settings = {"conditional": "labels=" in protocol}
    add_run(store, "one", score(5.0, protocol, metric=metric, **evidence), **settings)
    other = add_run(store, "other", **settings)
    assert f"  sngan evaluate {other} {command}\n" in sngan("runs", "compare", "one", "other").out


def test_another_seed_than_their_own_is_not_to_be_had_of_a_run_whose_own_it_is(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0, "inception-v3@1 n=5000 seed=11 splits=10"))
    other = add_run(store, "other", seed=11)
    said = (
        f"{other} (other) cannot be measured so: seed = 11 is its own, and that of the others is another than theirs."
    )
    assert said in sngan("runs", "compare", "one", "other").out


def test_a_setting_that_the_run_alone_has_is_spelled_out(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0, "inception-v3@1 n=5000 real=5000 subset_size=1000 subsets=100", metric="kid"))
    other = add_run(store, "other", metrics={"kid": {"subset_size": 500, "subsets": 100}})
    command = f"  sngan evaluate {other} --protocol quick --set metrics.kid.subset_size=1000\n"
    assert command in sngan("runs", "compare", "one", "other").out


@pytest.mark.parametrize(
    ("name", "command"), [("plain", "--protocol plain --set metrics.kid.subset_size=1000"), (None, "--protocol full")]
)
def test_the_protocol_that_the_others_followed_is_proposed_and_else_the_one_of_the_fewest_options(
    sngan: Any, store: Store, monkeypatch: pytest.MonkeyPatch, name: str | None, command: str
) -> None:
    ways = {"plain": {}, "full": {"kid": {"subset_size": 1000}}}
    made = {key: named.ScoringProtocol(key, 3000, 3000, metrics) for key, metrics in ways.items()}
    monkeypatch.setattr("sngan_cli.proposals.protocols", lambda: made)
    protocol = "inception-v3@1 n=3000 real=3000 subset_size=1000 subsets=100"
    add_run(store, "one", score(5.0, protocol, metric="kid", **{"protocol name": name}))
    other = add_run(store, "other", metrics={"kid": {"subset_size": 500}})
    assert f"  sngan evaluate {other} {command}\n" in sngan("runs", "compare", "one", "other").out


def test_a_metric_that_a_run_is_measured_by_anyway_is_not_named(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0))
    other = add_run(store, "other", metrics={"is": {"splits": 10}})
    assert f"  sngan evaluate {other} --protocol quick\n" in sngan("runs", "compare", "one", "other").out


@pytest.mark.parametrize(("steps", "checkpoints", "said"), [
    ((50, 100), 2, True), ((100, 50), 2, True), ((50, 100), 1, False), ((100,), 2, False),
])  # fmt: skip
def test_all_checkpoints_are_to_be_measured_where_several_of_another_run_were(
    sngan: Any, store: Store, steps: tuple[int, ...], checkpoints: int, said: bool
) -> None:
    add_run(store, "one", *(score(float(k), step=step) for k, step in enumerate(steps, 5)))
    other = add_run(store, "other", checkpoints=checkpoints)
    command = f"  sngan evaluate {other} --metric is --protocol quick{' --checkpoint all' if said else ''}\n"
    assert command in sngan("runs", "compare", "one", "other").out
    refused = sngan("runs", "compare", "one", "other", "--metric", "is")
    assert command in refused.err


def test_each_proposal_is_worked_out_once(sngan: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from sngan_cli import proposals

    asked: list[tuple[str, str]] = []
    real = proposals._refusal

    def refusal(each: Any, metric: str, *more: Any) -> Any:
        asked.append((each.run.id, metric))
        return real(each, metric, *more)

    monkeypatch.setattr(proposals, "_refusal", refusal)
    add_run(store, "one", score(5.0), score(3.0, TRAINING))
    other = add_run(store, "other")
    assert sngan("runs", "compare", "one", "other").code == 0
    assert asked == [(other, "is")]


def test_accuracy_of_runs_of_other_classes_is_not_proposed(sngan: Any, store: Store) -> None:
    by = [score(0.5, f"{name}@1 n=5000", metric="accuracy") for name in ("mine", "theirs")]
    add_run(store, "one", by[0], conditional=True, data_sha256="a" * 64)
    add_run(store, "other", by[1], conditional=True, data_sha256="b" * 64)
    done = sngan("runs", "compare", "one", "other", "--metric", "accuracy")
    assert "cannot be measured so: it was trained on other data." in done.err
    assert "sngan evaluate" not in done.err


KID = "inception-v3@1 n=5000 real=400 subset_size=500 subsets=100"


@pytest.mark.parametrize(
    ("protocol", "metric", "evidence", "settings", "reason"),
    [
        ("mine@1 n=5000", "accuracy", {}, {}, "the metric needs classes, and it is unconditional"),
        ("x@1 labels=data n=5000 splits=10", "is", {}, {},
         "it is unconditional, and classes were drawn by labels=data"),
        ("x@1 classes=one distance=euclidean n=5000 real=5000", "diversity", {}, {"conditional": True},
         "it is conditional, and all images were taken for one class"),
        ("x@1 distance=euclidean n=5000 real=5000", "diversity", {"classes": {"cat": 0.4, "dog": 0.6}}, {},
         "it is unconditional, and each class was measured by itself"),
        ("x@1 n=5000 splits=10", "is", {"generator_weights": "averaged"}, {"ema": 0.0},
         "it keeps no averaged weights (ema = 0)"),
        ("x@1 n=5000 splits=2501", "is", {}, {}, "needs two images in each at least (5002 in all), not 5000"),
        (KID, "kid", {"data_images": 400}, {}, "needs at least as many real images, not 400"),
        ("x@1 n=5000 real=5000", "gone", {}, {}, "There is no metric 'gone'"),
    ],
)  # fmt: skip
def test_what_evaluate_would_refuse_is_not_proposed(
    sngan: Any,
    store: Store,
    protocol: str,
    metric: str,
    evidence: dict[str, Any],
    settings: dict[str, Any],
    reason: str,
) -> None:
    add_run(store, "one", score(5.0, protocol, metric=metric, **evidence))
    other = add_run(store, "other", **settings)
    done = sngan("runs", "compare", "one", "other")
    shared = block(done.out, f"{metric} by ")
    assert "sngan evaluate" not in shared
    (said,) = [line for line in shared.splitlines() if line.startswith(f"{other} (other) cannot be measured so: ")]
    assert reason in said
    found = sngan("runs", "compare", "one", "other", "--json").json["measured"][0]
    assert found["commands"] == []
    assert reason in found["refused"][other]
    refused = sngan("runs", "compare", "one", "other", "--metric", metric)
    assert (refused.code, reason in refused.err, "sngan evaluate" in refused.err) == (2, True, False)


def test_small_data_follow_a_protocol_as_far_as_they_go(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0, "inception-v3@1 n=5000 real=400", metric="fid", data_images=400))
    other = add_run(store, "other")
    assert f"  sngan evaluate {other} --metric fid --protocol quick\n" in sngan("runs", "compare", "one", "other").out


def test_the_weights_that_were_measured_are_named_where_a_run_has_others(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0))
    other = add_run(store, "other", weights="averaged")
    command = f"sngan evaluate {other} --metric is --protocol quick --weights raw\n"
    assert command in sngan("runs", "compare", "one", "other").out


def test_one_extractor_is_proposed_for_all(sngan: Any, store: Store) -> None:
    one, other = add_run(store, "one", score(9.0, TRAINING)), add_run(store, "other", extractor={"name": "shapes-cnn"})
    assert sngan("runs", "compare", "one", "other").out.endswith(
        f"  sngan evaluate {one} --metric is\n  sngan evaluate {other} --metric is --extractor inception-v3\n"
    )


def test_where_no_protocol_by_name_fits_one_is_proposed_for_all(sngan: Any, store: Store) -> None:
    one, other = add_run(store, "one", score(9.0, TRAINING)), add_run(store, "other")
    shown = sngan("runs", "compare", "one", "other").out
    assert shown.endswith(
        "To measure is of all by one protocol:\n"
        f"  sngan evaluate {one} --metric is\n  sngan evaluate {other} --metric is\n"
    )


def test_raw_and_averaged_weights_are_told_apart(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(5.0), score(7.0, generator_weights="averaged"))
    add_run(store, "other", score(6.0))
    shown = block(sngan("runs", "compare", "one", "other").out, "is by quick")
    assert [row[1:4] for row in rows(shown)[2:]] == [
        ["one", "averaged", "▸ 7.0000 ± 0.2500"],
        ["one", "raw", "5.0000 ± 0.2500"],
        ["other", "raw", "6.0000 ± 0.2500"],
    ]


def test_scores_that_are_no_numbers_never_lead(sngan: Any, store: Store) -> None:
    add_run(store, "one", score(float("nan")))
    add_run(store, "other", score(1.0))
    shown = block(sngan("runs", "compare", "one", "other").out, "is by quick")
    assert [row[3] for row in rows(shown)[2:]] == ["nan ± 0.2500", "▸ 1.0000 ± 0.2500"]


def test_classes_that_differ_most_are_shown(sngan: Any, store: Store) -> None:
    names = [f"class{k}" for k in range(12)]
    own = dict.fromkeys(names, 0.5) | {"only here": 0.1}
    add_run(store, "one", score(5.0, step=50, classes=own), score(4.0, classes=own))
    add_run(store, "other", score(5.0, classes={name: 0.5 + k / 100 for k, name in enumerate(names)}))
    shown = rows(block(sngan("runs", "compare", "one", "other").out, "is by quick"))
    at = [row[0] for row in shown].index("class")
    assert shown[at + 1] == ["at step", "50", "100"]  # of the best score of each
    assert shown[at + 2 : at + 4] == [["class11", "0.500", "0.610"], ["class10", "0.500", "0.600"]]
    assert [row[0] for row in shown[at + 2 : at + 12]] == names[:1:-1]
    assert shown[at + 12] == ["The 10 of 12 classes that differ most; --json has all."]


def test_one_metric_alone(sngan: Any, store: Store) -> None:
    fid = score(20.0, "inception-v3@1 n=5000 real=5000", metric="fid")
    add_run(store, "one", score(5.0), fid)
    add_run(store, "other", score(6.0))
    shown = sngan("runs", "compare", "one", "other", "--metric", "is").out
    assert "is by quick" in shown
    assert "fid" not in shown.split("\n\n", 1)[1]


def test_one_metric_of_different_protocols_is_refused(sngan: Any, store: Store) -> None:
    one, other = add_run(store, "one", score(5.0)), add_run(store, "other", score(9.0, TRAINING))
    none = add_run(store, None, checkpoints=0)
    done = sngan("runs", "compare", "one", "other", none, "--metric", "is")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: These runs share no protocol for 'is', and values of different ones cannot be compared.",
        f"  {one} (one): quick ({QUICK})",
        f"  {other} (other): {TRAINING}",
        f"  {none}: not measured, and without a checkpoint that could be",
        "To measure by one:",
        f"  sngan evaluate {other} --metric is --protocol quick",
    ]


def test_runs_without_scores_are_proposed_one_protocol(sngan: Any, store: Store) -> None:
    one = add_run(store, "one", metrics={"is": {"splits": 10}})
    other = add_run(store, "other", extractor={"name": "shapes-cnn"})
    assert sngan("runs", "compare", "one", "other").out.endswith(
        f"  sngan evaluate {one}\n  sngan evaluate {other} --metric is --extractor inception-v3\n"
    )


def test_runs_without_scores(sngan: Any, store: Store) -> None:
    add_run(store, "one")
    other = add_run(store, "other", status=Status.INTERRUPTED, checkpoints=0)
    shown = sngan("runs", "compare", "one", "other").out
    assert shown.endswith("None of these runs has a score.\n")  # one alone would compare with nothing
    assert ["status", "finished", "interrupted"] in rows(shown)
    assert f"{other} (other) has no checkpoint that could be measured." in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["one"], 2, "There is nothing to compare 'one' with: give two runs at least."),
        ([], 2, "RUN_ID"),
        (["one", "one"], 2, "'one' and 'one' are one run, "),
        (["one", "nobody"], 3, "There is no run 'nobody'"),
        (["one", "other", "--metric", "iss"], 3, "None of these runs has a score 'iss'. Did you mean 'is'?"),
    ],
)
def test_mistakes_are_named(sngan: Any, store: Store, arguments: list[str], code: int, message: str) -> None:
    add_run(store, "one", score(5.0))
    add_run(store, "other")
    done = sngan("runs", "compare", *arguments)
    assert (done.code, message in done.err) == (code, True), done.err


def test_a_run_that_is_given_twice_is_shown_once(sngan: Any, store: Store) -> None:
    add_run(store, "one")
    other = add_run(store, "other")
    done = sngan("runs", "compare", "one", other, "@last")
    assert done.err == f"'{other}' and '@last' are one run, {other}, which is shown once.\n"
    assert ["name", "one", "other"] in rows(done.out)


def test_json_has_complete_records(sngan: Any, store: Store) -> None:
    one = add_run(store, "one", score(5.0), score(float("nan"), step=50, classes={"cat": 0.5}))
    other = add_run(store, "other", n_dis=1)
    found = sngan("runs", "compare", "one", "other", "--json").json
    assert [run["id"] for run in found["runs"]] == [one, other]
    assert found["runs"][0]["scores"][0]["evidence"]["classes"] == {"cat": 0.5}
    assert found["runs"][1]["config"]["loss"] == {"name": "hinge"}
    assert found["settings"] == {"n_dis": {one: 5, other: 1}}
    assert found["versions"] == {}
    (measured,) = found["measured"]
    assert (measured["metric"], measured["protocol"], measured["names"]) == ("is", QUICK, ["quick"])
    assert [entry["best"]["value"] for entry in measured["entries"]] == [5.0]
    assert measured["missing"] == [other]
    assert measured["commands"] == [f"sngan evaluate {other} --metric is --protocol quick"]


def test_many_runs_have_a_line_each_and_no_id_or_value_is_cut(store: Store, on_terminal: Any) -> None:
    classes = [f"class{k}" for k in range(3)]
    ids = [
        add_run(store, f"name {k}", score(5.0, classes=dict.fromkeys(classes, k / 10)), loss={"name": f"hinge-{k}"},
                checkpoint_every=1000 + k, data_dir=f"/a/long/path/to/pictures/{k}", recipe=f"recipe-{k}")
        for k in range(7)
    ]  # fmt: skip
    lines = on_terminal(80, "runs", "compare", *ids).out.splitlines()
    assert max(map(len, lines)) <= 80
    for k, id_ in enumerate(ids):
        own = " ".join(line for line in lines if line.startswith(f"{id_} name {k} "))
        for value in (f"hinge-{k}", f"{1000 + k}", f"/a/long/path/to/pictures/{k}", f"recipe-{k}", "finished"):
            assert value in own.split(), value
    heads = " ".join(line for line in lines if line.startswith(("run ", "class "))).split()
    assert [word for word in heads if word in ids] == ids  # over the columns of the classes
    assert {"checkpoint_every", "data_dir", "recipe", "loss"} <= set(heads)


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_a_terminal(store: Store, on_terminal: Any, width: int) -> None:
    for k in range(4):
        add_run(store, f"a long name {k} " * 3, score(5.0 + k), score(4.0, step=100_000), ema=k / 10)
    ids = [summary.run.id for summary in store.summaries()]
    lines = on_terminal(width, "runs", "compare", *ids).out.splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(id_ in line and "4.0000 ± 0.2500" in line for line in lines) for id_ in ids)


def test_the_commands_that_it_gives_make_the_runs_comparable(
    sngan: Any, trained: str, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = named.ScoringProtocol("quick", 40, 12, {"is": {"images": 60, "splits": 3}})
    monkeypatch.setattr(named, "protocols", lambda: {"quick": quick})
    monkeypatch.setattr("sngan_cli.proposals.protocols", named.protocols)
    assert sngan("train", *tiny, "--steps", 2, "--eval-samples", 40, "--name", "other").code == 0
    assert sngan("evaluate", trained, "--metric", "is", "--protocol", "quick", "--set", "metrics.is.splits=2",
                 "--device", "cpu").code == 0  # fmt: skip
    refused = sngan("runs", "compare", trained, "other", "--metric", "is")
    assert refused.code == 2
    (command,) = [line.strip() for line in refused.err.splitlines() if "sngan evaluate" in line]
    assert sngan(*shlex.split(command)[1:], "--device", "cpu").code == 0
    compared = sngan("runs", "compare", trained, "other", "--metric", "is")
    assert compared.code == 0, compared.err
    (protocol,) = {
        s["protocol"] for s in sngan("runs", "show", "other", "--json").json["scores"] if "n=60" in s["protocol"]
    }
    shared = block(compared.out, f"is by {protocol}")
    assert "n=60 splits=2" in shared
    assert [row[1] for row in rows(shared)[2:]] == ["tiny", "other"]


@pytest.mark.parametrize(
    ("wanted", "own", "given"),
    [
        ("dinov2", {"name": "dinov2"}, []),
        ("dinov2[size=small]", {"name": "dinov2"}, ["--set", "extractor.size=small"]),
        ("dinov2", {"name": "dinov2", "size": "small"}, ["--set", "extractor.size=large"]),
        ("dinov2[size=base]", {"name": "shapes-cnn"}, ["--extractor", "dinov2", "--set", "extractor.size=base"]),
        ("shapes-cnn", {"name": "dinov2", "size": "small"}, ["--extractor", "shapes-cnn"]),
        ("mine", {"name": "classifier", "trained": "mine"}, []),
    ],
)
def test_an_extractors_options_are_proposed_as_evaluate_takes_them(
    wanted: str, own: dict[str, str], given: list[str]
) -> None:
    from sngan_cli import proposals

    run = cast("Run", SimpleNamespace(config={"extractor": own}))
    assert proposals._extractor(proposals._By(wanted, ""), run) == given


def test_an_extractors_options_are_read_back_from_what_scores_call_it() -> None:
    from sngan_cli import proposals

    class Layered(Extractor, contract=1):
        layer: str = "last"
        layers: tuple[int, ...] = ()
        names: dict[str, int] = {}  # noqa: RUF012  # pydantic copies it

        def load(self, device: str, cache: Path) -> LoadedExtractor:
            raise NotImplementedError

    one = Layered(layer="block 1, [a=b] 50%", layers=(1, 2), names={"a": 1, "b": 2})
    label = one.label("x")
    assert " " not in label
    assert proposals._parted(label) == (
        "x", {"layer": "block 1, [a=b] 50%", "layers": "(1,2)", "names": "{'a':1,'b':2}"}
    )  # fmt: skip
    assert Layered(layer="block1").label("x") != Layered(layer="block 1").label("x")
    assert Layered(layer="fc").label("x") == "x[layer=fc]"
    assert Layered().label("x") == "x"


def lay_extractor(name: str, weights_sha256: str) -> None:
    """Lay a trained extractor here, as far as it is known by its manifest."""
    folder = trained_extractors.folder_of(name)
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"w")
    manifest = {
        "format": 1, "extractor": {"name": "classifier"}, "dataset": {"name": "shapes"}, "class_names": [],
        "weights_sha256": weights_sha256, "side": 8, "classes": 10, "accuracy": 0.5,
        "created": "2026-10-01T12:00:00+00:00", "environment": {}, "data_dir": None, "flip": True,
        **dict.fromkeys(("distribution", "version", "data_sha256", "precision"), "x"),
        **dict.fromkeys(("images", "held_out", "epochs", "batch_size", "lr", "seed", "seconds"), 1),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


OLD, NEW = "aaaaaaaa" + "1" * 56, "bbbbbbbb" + "2" * 56


def trained_table(name: str, weights_sha256: str) -> dict[str, str]:
    """What a run's configuration says of a trained extractor."""
    path = str(trained_extractors.folder_of(name) / "weights.safetensors")
    return {"name": "classifier", "trained": name, "weights": path, "sha256": weights_sha256}


def test_a_trained_extractor_is_proposed_while_its_weights_lie_here(sngan: Any, store: Store) -> None:
    """Its name may have spaces."""
    name = "my own"
    lay_extractor(name, OLD)
    by_it = replace(score(5.0, extractor=name), protocol=f"{name}@{OLD[:8]} n=5000 splits=10")
    add_run(store, "one", by_it)
    other = add_run(store, "other")
    proposed = f"  sngan evaluate {other} --metric is --protocol quick --extractor 'my own'\n"
    assert proposed in sngan("runs", "compare", "one", "other").out
    place = trained_extractors.discard(name).path
    removed = sngan("runs", "compare", "one", "other").out
    assert "sngan evaluate" not in removed
    assert (
        f"{other} (other) cannot be measured so: the extractor 'my own' with the weights {OLD[:8]} was removed and "
        f"lies in {place}: `sngan extractors restore 'my own' --weights {OLD[:8]}` gets it back.\n"
    ) in removed
    lay_extractor(name, NEW)
    replaced = sngan("runs", "compare", "one", "other").out
    assert "sngan evaluate" not in replaced
    assert (
        f"was replaced by another and lies in {place}: `sngan extractors restore 'my own' --weights {OLD[:8]} --as "
        f"'my own-{OLD[:8]}'` gets it back.\n"
    ) in replaced


def test_runs_by_two_extractors_of_one_name_are_told_apart(sngan: Any, store: Store) -> None:
    lay_extractor("mine", OLD)
    old = add_run(store, "old", score(5.0, f"mine@{OLD[:8]} n=5000 splits=10"), extractor=trained_table("mine", OLD))
    trained_extractors.discard("mine")
    lay_extractor("mine", NEW)
    new = add_run(store, "new", score(6.0, f"mine@{NEW[:8]} n=5000 splits=10"), extractor=trained_table("mine", NEW))
    said = sngan("runs", "compare", "old", "new").out
    assert f"  sngan evaluate {old} --metric is --protocol quick --extractor mine\n" in said
    assert f"{new} (new) cannot be measured so: the extractor 'mine' with the weights {OLD[:8]} was replaced" in said


def test_what_a_runs_own_extractor_measures_needs_no_name(sngan: Any, store: Store) -> None:
    """Its weights are found wherever they lie here, and how to get them back is said where they do not."""
    lay_extractor("mine", OLD)
    add_run(store, "one", score(5.0, f"mine@{OLD[:8]} n=5000 splits=10"), extractor=trained_table("mine", OLD))
    other = add_run(store, "other", extractor=trained_table("mine", OLD))
    trained_extractors.folder_of("mine").rename(trained_extractors.folder_of("older"))
    assert f"  sngan evaluate {other} --metric is --protocol quick\n" in sngan("runs", "compare", "one", "other").out
    trained_extractors.discard("older")
    gone = sngan("runs", "compare", "one", "other").out
    assert "sngan evaluate" not in gone
    assert f"`sngan extractors restore older --weights {OLD[:8]}` gets it back.\n" in gone


def test_the_standard_protocol_goes_by_the_weights_that_lie_here(sngan: Any, store: Store) -> None:
    lay_extractor("mine", NEW)
    one = add_run(store, "one", extractor=trained_table("mine", NEW))
    other = add_run(store, "other", extractor=trained_table("mine", OLD))
    said = sngan("runs", "compare", "one", "other").out
    assert f"  sngan evaluate {one}\n  sngan evaluate {other} --extractor mine\n" in said
    backwards = sngan("runs", "compare", "other", "one").out
    assert "sngan evaluate" not in backwards
    way_out = "copy its folder, under any name, from where it is kept to "
    assert backwards.count(f"the extractor 'mine' with the weights {OLD[:8]} was replaced by another: {way_out}") == 2


def test_weights_that_lie_here_by_another_name_are_called_by_it(sngan: Any, store: Store) -> None:
    lay_extractor("mine", NEW)
    lay_extractor("older", OLD)
    add_run(store, "one", score(5.0, f"mine@{OLD[:8]} n=5000 splits=10"), extractor=trained_table("mine", OLD))
    other = add_run(store, "other", extractor=trained_table("mine", NEW))
    said = sngan("runs", "compare", "one", "other").out
    assert f"  sngan evaluate {other} --metric is --protocol quick --extractor older\n" in said


def test_an_extractor_whose_weights_are_not_known_is_no_trained_one_that_lies_here(sngan: Any, store: Store) -> None:
    lay_extractor("mine", OLD)
    add_run(store, "one", extractor={"name": "gone"})
    other = add_run(store, "other")
    said = sngan("runs", "compare", "one", "other").out
    assert f"{other} (other) cannot be measured so: the extractor 'gone' " in said
    assert "--extractor mine" not in said


def test_a_run_whose_checkpoint_is_not_recorded_can_be_measured(sngan: Any, store: Store, home: Path) -> None:
    add_run(store, "one", score(5.0))
    other = add_run(store, "other", checkpoints=0)
    assert "sngan evaluate" not in sngan("runs", "compare", "one", "other").out
    (home / "runs" / other / "checkpoints" / "step-00000006").mkdir(parents=True)
    assert f"  sngan evaluate {other} --metric is" in sngan("runs", "compare", "one", "other").out


def test_runs_of_other_data_are_not_to_be_measured_by_the_same_real_images(sngan: Any, store: Store) -> None:
    metrics = {"fid": {}}
    names = ("shapes", "cifar10", "shapes")
    one, other, again = (add_run(store, None, metrics=metrics, dataset={"name": name}) for name in names)
    refusal = f"{other} cannot be measured so: it was trained on other data.\n"
    assert sngan("runs", "compare", one, other, again).out.endswith(
        f"To measure them by one protocol:\n  sngan evaluate {one}\n  sngan evaluate {again}\n{refusal}"
    )
    assert sngan("runs", "compare", one, other).out.endswith(  # one alone would compare with nothing
        f"None of these runs has a score.\nThey cannot all be measured by one protocol:\n{refusal}"
    )


def test_a_metric_that_only_one_run_could_be_measured_by_is_not_proposed(sngan: Any, store: Store) -> None:
    fid = score(5.0, "inception-v3@1 n=1000 real=600", metric="fid")
    one = add_run(store, "one", fid)
    other = add_run(store, "other", replace(fid, protocol="inception-v3@1 n=1000 real=900"), data_dir="/b")
    reason = f"{other} (other) cannot be measured so: it was trained on other data."
    shown = sngan("runs", "compare", one, other).out
    assert shown.endswith(f"fid of all cannot be measured by one protocol:\n{reason}\n")
    refused = sngan("runs", "compare", one, other, "--metric", "fid").err
    assert refused.endswith(f"{reason}\n")
    assert "sngan evaluate" not in shown + refused


@pytest.mark.parametrize("scored", [True, False])
def test_data_are_told_apart_by_their_hashes_where_these_are_known(sngan: Any, store: Store, scored: bool) -> None:
    """Pictures that were packed are the same, and a folder may hold others by now."""
    fid = [score(5.0, "x@1 n=5000 real=600@aaaaaaaa", metric="fid", real_sha256=OLD, data_images=600)] if scored else []
    usual: dict[str, Any] = {"metrics": {"fid": {}}, "extractor": {"name": "x"}}
    add_run(store, "folder", *fid, data_sha256=OLD, data_dir="/pics", **usual)
    packed = add_run(store, "packed", data_sha256=OLD, data_dir="/pictures.zip", **usual)
    changed = add_run(store, "changed", data_sha256=NEW, data_dir="/pics", **usual)
    unknown = add_run(store, "unknown", data_dir="/elsewhere", **usual)
    unhashed = add_run(store, "unhashed", data_dir="/pics", **usual)
    said = sngan("runs", "compare", "folder", "packed", "changed", "unknown", "unhashed").out
    refused = re.findall(r"(\S+) \(\w+\) cannot be measured so: it was trained on other data", said)
    assert refused == [changed, unknown]
    assert all(f"  sngan evaluate {run}" in said for run in (packed, unhashed))
    assert sngan("runs", "diff", packed, changed, "--json").json["versions"] == {
        "data": {packed: OLD[:12], changed: NEW[:12]}
    }


def test_data_that_are_known_to_be_others_are_not_taken_for_those_of_their_name(sngan: Any, store: Store) -> None:
    """The scored run is of a release that did not hash its data, but its scores say what they were measured against."""
    fid = score(5.0, "x@1 n=5000 real=600@aaaaaaaa", metric="fid", real_sha256=OLD, data_images=600)
    usual: dict[str, Any] = {"data_dir": "/pics", "extractor": {"name": "x"}}
    add_run(store, "scored", fid, **usual)
    changed = add_run(store, "changed", data_sha256=NEW, **usual)
    said = sngan("runs", "compare", "scored", "changed").out
    assert f"{changed} (changed) cannot be measured so: it was trained on other data." in said


def test_where_weights_lie_does_not_matter(sngan: Any, store: Store) -> None:
    """Their hash says whether they are the same; the path alone does where nobody knows it."""
    here, there = trained_table("mine", OLD), {**trained_table("mine", OLD), "weights": "/elsewhere/w.safetensors"}
    one, other = add_run(store, "one", extractor=here), add_run(store, "other", extractor=there)
    assert sngan("runs", "diff", "one", "other", "--json").json["settings"] == {}
    new = add_run(store, "new", extractor={**there, "sha256": NEW})
    assert sngan("runs", "diff", one, new, "--json").json["settings"] == {"extractor.sha256": {one: OLD, new: NEW}}
    unknown = add_run(store, "unknown", extractor={"name": "classifier", "weights": "/elsewhere/w.safetensors"})
    assert set(sngan("runs", "diff", other, unknown, "--json").json["settings"]) == {
        "extractor.trained", "extractor.sha256", "extractor.weights",
    }  # fmt: skip

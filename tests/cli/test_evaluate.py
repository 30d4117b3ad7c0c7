"""`sngan evaluate`: scores after training, recorded with the run, and scores of anybody's pictures."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sngan_cli import picture_scoring
from sngan_cli.config.protocols import protocols
from sngan_cli.engine import device, evaluation, features, sampling
from sngan_cli.events import Scored
from sngan_plugins.datasets.shapes import Shapes
from sngan_plugins.metrics.inception_score import Splits
from sngan_registry import Event, RegistryError, Store
from sngan_registry.apart import PictureScores

FEW = ("--set", "metrics.is.splits=2", "--device", "cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol of its own for the tests: 40 images against 12."""
    from sngan_cli.config import protocols as module

    table = module.ScoringProtocol("quick", 40, 12, {"is": {"images": 60, "splits": 3}})
    monkeypatch.setattr(module, "protocols", lambda: {"quick": table})


def drawn(folder: Path, count: int, *, labelled: bool = True, constant: bool = False, side: int = 8) -> Path:
    """Real pictures of the data set `shapes` as files, in one folder a class."""
    shapes = Shapes(images=count, seed=7).open(None, folder)
    assert shapes.class_names is not None
    for k in range(count):
        pixels, label = shapes.read(0 if constant else k, side)
        place = folder / shapes.class_names[label] if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(place / f"{k}.png")
    return folder


def test_scores_are_printed_and_recorded(sngan: Any, trained: str, home: Path) -> None:
    done = sngan("evaluate", "tiny", "--protocol", "quick", "--metric", "is,fid,diversity", "--device", "cpu")
    assert done.code == 0, done.err
    shown = [line.split()[:3] for line in done.out.splitlines()[1:]]
    assert shown == [["4", "raw", "fid"], ["4", "raw", "diversity"], ["4", "raw", "is"]]
    assert re.search(r"4  raw +fid .*  quick \(shapes-cnn@\w+ n=40 real=12@\w+\)$", done.out, re.MULTILINE)
    shown = sngan("runs", "show", trained, "--json").json
    added = {s["metric"]: s for s in shown["scores"] if s["evidence"].get("protocol name") == "quick"}
    assert added["is"]["protocol"].endswith("n=60 splits=3")
    assert re.search(r" n=40 real=12@[0-9a-f]{8}$", added["fid"]["protocol"])
    assert added["fid"]["evidence"]["generator_weights"] == "raw"
    assert "12 images for 128 features" in added["fid"]["evidence"]["remark"]
    # Of twelve real images two classes have two each: the others have no distance to compare with.
    assert len(added["diversity"]["evidence"]["classes"]) == 2
    first, ratio = next(iter(added["diversity"]["evidence"]["classes"].items()))
    assert f"{first} {ratio:.3f}, " in sngan("runs", "show", trained).out
    assert shown["events"][-1]["message"] == "Scored after training, step 4: fid, diversity, is by quick."
    kept = json.loads((home / "runs" / trained / "run.json").read_text())
    assert {s["metric"] for s in kept["scores"]} == {"is", "fid", "diversity"}


def test_on_a_narrow_terminal_protocols_fold_between_words_or_not_at_all(on_terminal: Any, trained: str) -> None:
    command = ("evaluate", trained, "--protocol", "quick", "--metric", "fid", "--device", "cpu")
    for width, folded in ((65, True), (40, False)):
        rows = [line.split() for line in on_terminal(width, *command).out.splitlines() if "─" not in line]
        words = rows[1][4:] + [word for row in rows[2:] for word in row]
        assert (rows[0], len(rows) > 2) == (["step", "weights", "metric", "value", "std", "protocol"], folded)
        assert [re.sub("@[0-9a-f]{8}", "@", word) for word in words] == ["shapes-cnn@", "n=5000", "real=20@"]


def test_nothing_is_scored_for_a_registry_that_cannot_be_written(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Store) -> None:
        raise RegistryError("attempt to write a readonly database")

    monkeypatch.setattr(Store, "check_writable", refuse)
    monkeypatch.setattr(device, "settle", pytest.fail)  # the extractor would be loaded after it
    for what in ([trained], ["--images", tmp_path, "--against", "shapes"]):
        done = sngan("evaluate", *what, "--protocol", "quick")
        assert (done.code, done.out) == (4, "")
        assert "readonly database" in done.err


@pytest.mark.parametrize("pictures", [False, True])
def test_what_cannot_be_recorded_is_printed_all_the_same(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: bool
) -> None:
    def full(*_: Any) -> None:
        raise RegistryError("database or disk is full.")

    monkeypatch.setattr(Store, "add_score", full)
    monkeypatch.setattr(PictureScores, "add", full)
    what = ["--images", drawn(tmp_path / "few", 12), "--against", "shapes", "--set", "dataset.images=12", *FEW]
    done = sngan("evaluate", *(what if pictures else [trained]), "--protocol", "quick", "--metric", "is,fid", "--json")
    assert [score["metric"] for score in done.json] == ["fid", "is"]
    assert done.code == 4
    assert "database or disk is full. The scores were measured, and are not all recorded." in done.err


def test_an_extractor_of_other_classes_is_remarked_on(sngan: Any, tmp_path: Path) -> None:
    for k in range(24):
        (tmp_path / "own" / "nb"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9 * k, 250 * (k % 2), 90)).save(tmp_path / "own" / "nb"[k % 2] / f"{k}.png")
    command = ("evaluate", "--protocol", "quick", "--metric", "is", *FEW, "--json", "--extractor", "shapes-cnn")
    (other,) = sngan(*command, "--images", tmp_path / "own").json
    said = "the extractor was trained on other classes than these images have, disc, ring, square, triangle, ..."
    assert said in other["evidence"]["remark"]
    (own,) = sngan(*command, "--images", drawn(tmp_path / "shapes", 24)).json
    assert "other classes" not in own["evidence"].get("remark", "")


def test_features_are_not_kept_on_a_full_disk(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(features, "save_file", full)
    done = sngan("evaluate", trained, "--protocol", "quick", "--metric", "fid", "--device", "cpu", "--json")
    assert (done.code, [score["metric"] for score in done.json]) == (0, ["fid"])
    assert list((home / "cache" / "features").iterdir()) == []


def test_debug_says_what_was_set_for_speed(sngan: Any, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "settle", lambda device: ["glibc keeps freed memory"])
    monkeypatch.setenv("SNGAN_DEBUG", "1")
    assert (
        "debug: glibc keeps freed memory\n" in sngan("evaluate", trained, "--protocol", "quick", "--metric", "fid").err
    )


def test_every_checkpoint_is_scored_the_same_again(sngan: Any, trained: str, home: Path) -> None:
    arguments = ("evaluate", trained, "--checkpoint", "all", "--protocol", "quick", "--metric", "fid,is", "--json")
    first = sngan(*arguments, "--device", "cpu").json
    assert [(s["step"], s["metric"]) for s in first] == [(2, "fid"), (2, "is"), (4, "fid"), (4, "is")]
    assert first[0]["value"] != first[2]["value"]
    (kept,) = (home / "cache" / "features").iterdir()
    before = kept.stat().st_ino
    assert sngan(*arguments, "--device", "cpu").json == first
    assert kept.stat().st_ino == before
    whole = kept.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:]
    for damaged in (b"damaged", flipped):
        kept.write_bytes(damaged)
        assert sngan(*arguments, "--device", "cpu").json == first
        assert kept.read_bytes() == whole


def test_a_score_that_takes_the_place_of_another_is_said_to(sngan: Any, trained: str) -> None:
    command = ("evaluate", trained, "--checkpoint", "all", "--protocol", "quick", "--metric", "fid", "--device", "cpu")
    said = "Scored before by the same protocol, weights and seed, and replaced: "
    assert said not in sngan(*command[:2], *command[4:]).err
    assert f"{said}fid of step 4." in sngan(*command).err
    assert f"{said}fid of step 2, fid of step 4." in sngan(*command).err
    assert said not in sngan(*command, "--seed", 3).err


def test_a_score_is_that_of_training_where_the_counts_are(sngan: Any, trained: str) -> None:
    during = [s for s in sngan("runs", "show", trained, "--json").json["scores"] if s["step"] == 4]
    from sngan_cli.config import protocols as module

    module.protocols()["quick"].metrics["is"].update(images=20, splits=2)  # type: ignore[attr-defined]
    after = sngan("evaluate", trained, "--protocol", "quick", "--device", "cpu", "--json").json
    assert after[0]["protocol"] == during[0]["protocol"]
    assert after[0]["value"] == pytest.approx(during[0]["value"], rel=1e-6)


def test_pictures_of_ones_own_are_scored(sngan: Any, tmp_path: Path) -> None:
    metrics = ("--metric", "fid,diversity,precision", "--protocol", "quick", "--json", *FEW[2:])
    against = ("--against", "shapes", "--size", 8)
    real = sngan("evaluate", "--images", drawn(tmp_path / "real", 60), *against, *metrics)
    assert real.code == 0, real.err
    flat = sngan(
        "evaluate", "--images", drawn(tmp_path / "flat", 60, labelled=False, constant=True), *against, *metrics
    )
    values = [{s["metric"]: s["value"] for s in done.json} for done in (real, flat)]
    assert values[0]["fid"] < values[1]["fid"]
    assert values[0]["diversity"] > 0.5
    assert values[1]["diversity"] == 0
    evidence = real.json[0]["evidence"]
    assert evidence["pictures"] == str(tmp_path / "real")
    assert len(evidence["pictures_sha256"]) == 64


def test_data_that_the_run_was_not_trained_on_are_warned_of_once(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    own, other = drawn(tmp_path / "own", 20), drawn(tmp_path / "other", 30)
    folder = [*tiny[4:], "--dataset", "folder", "--data-dir", own, "--extractor", "shapes-cnn"]
    done = sngan("train", *folder, "--steps", 2, "--checkpoint-every", 1, "--set", "keep_every=1")
    assert done.code == 0, done.err
    scored = (
        "evaluate",
        "@last",
        "--checkpoint",
        "all",
        "--protocol",
        "quick",
        "--metric",
        "is,fid",
        "--device",
        "cpu",
    )
    assert "The data are not those" not in sngan(*scored).err
    done = sngan(*scored, "--data-dir", other)
    assert done.code == 0, done.err
    assert done.err.count("The data are not those that run") == 1


@pytest.mark.parametrize(("labelled", "said"), [(True, "white"), (False, "none")])
def test_classes_are_not_compared_with_those_of_other_data(
    sngan: Any, tmp_path: Path, labelled: bool, said: str
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, second in ((mine, "cat"), (other, "white" if labelled else None)):
        for k, name in enumerate(("ape", second)):
            if name is not None:
                drawn(folder / name if labelled or folder is mine else folder, 20 + k, labelled=False)
    common = ("--size", 8, "--set", "arch.width=0.05", "--steps", 1, "--eval-samples", 20, *FEW)
    command = ("--arch", "standard", "--extractor", "shapes-cnn", "--conditional", "--data-dir", mine, *common)
    done = sngan("train", "--dataset", "folder", *command)
    assert done.code == 0, done.err
    run_id = done.out.strip()
    how = ("--protocol", "quick", "--device", "cpu", "--data-dir", other)
    refused = sngan("evaluate", run_id, "--metric", "fid,intra-fid,diversity", *how)
    assert refused.code == 2, refused.err
    assert "intra-fid, diversity cannot be had: classes are compared one by one, those of run" in refused.err
    assert f"are ape, cat, and those of the data {'ape, white' if labelled else said}. Leave them out" in refused.err
    assert sngan("evaluate", run_id, "--metric", "fid", *how).code == 0


def test_data_that_are_not_there_are_refused_where_no_metric_looks_at_them_too(
    sngan: Any, tiny: list[str], tmp_path: Path
) -> None:
    folder = ("--dataset", "folder", "--data-dir", drawn(tmp_path / "own", 20), "--extractor", "shapes-cnn")
    assert sngan("train", *tiny[4:], *folder, "--steps", 1).code == 0
    command = ("evaluate", "@last", "--protocol", "quick", "--metric", "is", "--device", "cpu")
    refused = sngan(*command, "--data-dir", tmp_path / "nowhere")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err == (
        f"error: The data folder {tmp_path / 'nowhere'} does not exist: give --data-dir a folder or an archive.\n"
    )
    shutil.rmtree(tmp_path / "own")  # which are not asked for
    assert sngan(*command).code == 0


def test_metrics_that_do_not_compare_need_no_data_set(sngan: Any, tmp_path: Path) -> None:
    folder = drawn(tmp_path / "mine", 60)
    command = ("evaluate", "--images", folder, "--extractor", "shapes-cnn", "--protocol", "quick", "--device", "cpu")
    (alone,) = sngan(*command, "--size", 8, "--json").json
    beside = sngan(*command, "--against", "shapes", "--size", 8, "--metric", "is", "--json").json[0]
    assert alone["metric"] == "is"
    assert (alone["value"], alone["protocol"]) == (beside["value"], beside["protocol"])
    refused = sngan(*command, "--metric", "is,fid,recall")
    assert (refused.code, refused.out) == (2, "")
    assert "fid, recall can only be had against real images: give --against DATASET." in refused.err
    usual = sngan("evaluate", "--images", folder, "--metric", "fid", "--protocol", "quick")  # no weights are looked for
    assert (usual.code, "give --against DATASET" in usual.err) == (2, True)


def test_pictures_are_held_against_a_data_set_with_options(sngan: Any, tmp_path: Path) -> None:
    command = ("evaluate", "--images", drawn(tmp_path / "mine", 60), "--against", "shapes", "--size", 8, "--metric",
               "fid", "--protocol", "quick", "--device", "cpu", "--json")  # fmt: skip
    usual, others = (sngan(*command, *more).json[0] for more in ((), ("--set", "dataset.seed=3")))
    assert usual["protocol"] != others["protocol"]
    assert usual["value"] != others["value"]
    refused = sngan(*command, "--set", "dataset.sed=3")
    assert (refused.code, "'shapes' has no option 'sed'" in refused.err) == (2, True)


def test_pictures_without_classes_are_one_class(sngan: Any, tmp_path: Path) -> None:
    folder = drawn(tmp_path / "plain", 60, labelled=False, side=12)
    done = sngan("evaluate", "--images", folder, "--against", "shapes", "--size", 8, "--protocol", "quick", "--metric",
                 "diversity", "--json", "--device", "cpu")  # fmt: skip
    assert done.code == 0, done.err
    assert "classes" not in done.json[0]["evidence"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Give either a run to score, or pictures with --images FOLDER"),
        (["tiny", "--images", "x"], 2, "Give either a run to score"),
        (["--images", "x", "--data-dir", "y"], 2, "--data-dir is where the data set of --against lies"),
        (["--images", "x", "--against", ""], 2, "'--against': it is empty"),
        (["tiny", "--extractor", ""], 2, "'--extractor': it is empty"),
        (["tiny", "--set", "dataset.images=9"], 2, "--set dataset: only options of metrics and the extractor"),
        (["tiny", "--name", "theirs"], 2, "--name 'theirs' cannot be used: it names the pictures of --images"),
        (["--images", "x", "--against", "shapes", "--name", " "], 2, "--name ' ' is empty"),
        (["tiny", "--against", "shapes"], 2, "--against and --size go with --images"),
        (["nobody"], 3, "There is no run 'nobody'"),
        ([""], 3, "There is no run ''"),
        (["tiny", "--checkpoint", ""], 3, "has no checkpoint ''"),
        (["tiny", "--extractor", "shape-cnn", "--set", "extractor.name=shapes-cnn"], 3, "no extractor 'shape-cnn'"),
        (["tiny", "--protocol", "standrad"], 3, "There is no protocol 'standrad'"),
        (["tiny", "--metric", "fidd"], 3, "There is no metric 'fidd'. Did you mean 'fid'"),
        (["tiny", "--metric", "is,,fid"], 2, "'is,,fid' (--metric) are no metrics to score by: name some"),
        (["tiny", "--set", "extractor.weights=nowhere.pth"], 2, "no option 'weights'"),
        (
            ["tiny", "--extractor", "inception-v3", "--set", "extractor.weights=no.pth"],
            3,
            "extractor.weights = 'no.pth'",
        ),
        (["tiny", "--set", "metrics.fid=abc"], 2, "--set metrics: only options of metrics and the extractor"),
        (["--images", "x", "--against", "shapes", "--checkpoint", "best"], 2, "leave them out beside --images"),
        (["tiny", "--set", "foo=bar"], 2, "--set foo: only options of metrics and the extractor can be set here"),
        (["tiny", "--metric", "kid", "--set", "metrics.kid.subset_size=nan"], 2, "should be a finite number"),
        (["tiny", "--metric", "is", "--set", "metrics.is.splits=31"], 2, "splits = 31 needs two images in each"),
        (["--images", "one.png", "--against", "shapes"], 1, "give the folder or archive that holds the pictures"),
        (["tiny", "--set", "lr=1"], 2, "--set lr: only options of metrics and the extractor can be set here"),
        (["tiny", "--metric", "kid"], 2, "needs at least as many generated images, not 40"),
        (["tiny", "--checkpoint", "3"], 3, "has no checkpoint '3': choose last, best, all or one of the steps 2, 4"),
        (["tiny", "--extractor", "shape-cnn"], 3, "There is no extractor 'shape-cnn'. Did you mean 'shapes-cnn'"),
        (["tiny", "--data-dir", "x"], 2, "'shapes' is not read from files: leave --data-dir out"),
        (["--images", "nowhere", "--against", "shapes"], 3, "--images nowhere: there is no such folder"),
        (["--images", "x", "--against", "shapes", "--truncation", "0.5"], 2, "say how a run draws: leave them out"),
        (["tiny", "--truncation", "0"], 2, "'0' is no number from 0.01 to 10"),
        (["tiny", "--precision", "tf32"], 2, "'tf32' exists on CUDA devices only"),
    ],
)
def test_mistakes_are_named(
    sngan: Any,
    trained: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("one.png")
    extra = [] if "--protocol" in arguments or "--metric" in arguments else ["--metric", "is,fid"]
    extra += [] if "--protocol" in arguments else ["--protocol", "quick"]
    done = sngan("evaluate", *arguments, *extra, "--device", "cpu")
    assert (done.code, message in done.err) == (code, True), done.err


def test_the_protocols_are_those_of_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = protocols()
    assert found["standard"].of("is") == (50_000, 0, {"splits": 10})
    assert found["standard"].of("fid") == (50_000, 0, {})
    assert found["sngan-2018"].of("is") == (50_000, 5_000, {"splits": 10})
    assert found["sngan-2018"].of("fid") == (10_000, 5_000, {})
    assert found["article"].of("is") == (10_000, 10_000, {"splits": 1})


def test_each_option_of_how_images_are_drawn_is_followed_and_recorded(sngan: Any, trained: str) -> None:
    plain = ("evaluate", trained, "--protocol", "quick", "--metric", "fid", "--device", "cpu", "--json")
    (usual,) = sngan(*plain).json
    start, real = re.fullmatch(r"(.* n=40) (real=12@\w+)", usual["protocol"]).groups()  # type: ignore[union-attr]
    raw, standing = "raw", "raw, standing statistics"
    values = [usual["value"]]
    for options, words, weights in (
        (("--labels", "data"), ["labels=data", real], raw),
        (("--truncation", "0.5"), [real, "truncation=0.5"], raw),
        (("--precision", "bf16"), ["precision=bf16", real], raw),
        (("--standing",), [real], standing),
        (("--weights", "averaged"), [real], "averaged"),
        (("--weights", "averaged", "--standing"), [real], "averaged, standing statistics"),
        (("--checkpoint", "2"), [real], raw),
    ):
        done = sngan(*plain, *options)
        (other,) = done.json
        values.append(other["value"])
        assert other["protocol"] == " ".join([start, *words])
        evidence = other["evidence"]
        assert evidence["generator_weights"] == weights
        assert evidence.get("protocol name") == ("quick" if words == [real] else None)
        assert (0 < evidence.get("difference of features from fp32", 0) < 0.05) == ("bf16" in options)
        assert "Scored before" not in done.err, options
    assert len({*values}) == len(values)
    assert sngan(*plain, "--weights", "raw").json == [usual]
    kept = sngan("runs", "show", trained, "--json").json["scores"]
    assert sorted(score["value"] for score in kept if score["metric"] == "fid") == sorted(values)
    shown = sngan("runs", "show", trained).out
    assert "standing statistics" in shown


def test_standing_statistics_are_of_the_latents_that_the_score_draws(
    sngan: Any, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[dict[str, Any]] = []

    def keep(generator: object, classes: int | None, **how: Any) -> None:
        taken.append({"classes": classes, **how})

    monkeypatch.setattr(sampling, "standing_statistics", keep)
    command = ("evaluate", trained, "--protocol", "quick", "--metric", "is,fid", "--device", "cpu", "--standing")
    assert sngan(*command, "--seed", 5, "--truncation", 0.5).code == 0
    assert sngan(*command).code == 0
    assert taken == [
        {"classes": 10, "seed": 5, "truncation": 0.5},
        {"classes": 10, "seed": 0, "truncation": None},
    ]


@pytest.mark.parametrize("labels", ["even", "data"])
def test_real_images_are_chosen_from_the_classes_as_images_are_drawn(
    sngan: Any, tiny: list[str], tmp_path: Path, labels: str
) -> None:
    for name, count in (("ape", 15), ("bee", 6)):
        drawn(tmp_path / name, count, labelled=False)
    folder = ("--dataset", "folder", "--data-dir", tmp_path, "--extractor", "shapes-cnn", "--conditional")
    assert sngan("train", *tiny[4:], *folder, "--steps", 1).code == 0
    (score,) = sngan("evaluate", "@last", "--protocol", "quick", "--metric", "fid", "--labels", labels, "--json").json
    assert score["evidence"]["real_chosen"] == {"even": "evenly", "data": "as in the data"}[labels]


@pytest.mark.parametrize("real", [12, 0])
def test_the_protocol_that_is_asked_for_is_named_where_scores_follow_several(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: int
) -> None:
    from sngan_cli.config import protocols as module

    tables = {name: module.ScoringProtocol(name, 20, real, {"is": {"splits": 2}}) for name in ("first", "second")}
    monkeypatch.setattr(module, "protocols", lambda: tables)
    pictures = ("--images", drawn(tmp_path / "own", 20), "--against", "shapes", "--set", "dataset.images=20", *FEW)
    for what in ((trained,), (*pictures, "--size", 8)):
        for name in tables:
            scores = sngan("evaluate", *what, "--protocol", name, "--metric", "is,fid", "--json").json
            assert [score["evidence"]["protocol name"] for score in scores] == [name, name]
            fid = next(score["evidence"] for score in scores if score["metric"] == "fid")
            assert (fid["real"], fid["real_chosen"]) == ((12, "as in the data") if real else (20, "all"))


def test_metrics_of_classes_are_refused_where_there_are_none(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    run = sngan("train", *tiny, "--steps", 1).out.strip()
    refused = sngan("evaluate", run, "--protocol", "quick", "--metric", "accuracy", "--device", "cpu")
    assert refused.code == 2
    assert f"The metric 'accuracy' needs classes, and run {run} is unconditional" in refused.err
    pictures = drawn(tmp_path / "plain", 60, labelled=False)
    refused = sngan("evaluate", "--images", pictures, "--against", "shapes", "--size", 8, "--protocol", "quick",
                    "--metric", "accuracy", "--device", "cpu")  # fmt: skip
    assert refused.code == 2
    assert f"and the pictures in {pictures} lie in no folders of the data's classes: leave it out." in refused.err
    labelled = drawn(tmp_path / "labelled", 60)
    refused = sngan("evaluate", "--images", labelled, "--against", "folder", "--data-dir", pictures, "--protocol",
                    "quick", "--metric", "accuracy,fid,intra-fid", "--extractor", "shapes-cnn", "--device",
                    "cpu")  # fmt: skip
    assert refused.code == 2
    said = "'accuracy', 'intra-fid' need classes, and the data of --against are unlabelled: leave them out."
    assert said in refused.err
    refused = sngan("train", *tiny, "--steps", 1, "--set", "metrics.accuracy={}")
    assert refused.code == 2
    assert "The metric 'accuracy' needs classes: give --conditional" in refused.err


def test_an_extractor_without_classes_compares_features_and_has_no_inception_score(
    sngan: Any, tiny: list[str], stand_in: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stand_in("dinov2")
    monkeypatch.setenv(made.published.variable, str(made.path))
    pictures = drawn(tmp_path / "own", 12)
    command = ("evaluate", "--images", pictures, "--against", "shapes", "--size", 8, "--extractor", "dinov2",
               "--protocol", "quick", "--device", "cpu", "--json")  # fmt: skip
    (score,) = sngan(*command, "--metric", "fid").json
    assert score["protocol"].startswith(f"dinov2@{made.published.sha256[:8]} n=12 real=12@")
    assert score["value"] > 0
    refused = sngan(*command, "--metric", "is")
    assert (refused.code, refused.out) == (2, "")
    assert "The Inception Score needs an extractor that tells classes apart" in refused.err
    training = sngan("train", *tiny, "--steps", 1, "--extractor", "dinov2")
    assert (training.code, sngan("runs", "list", "--json").json) == (2, [])
    assert "compare features by `sngan evaluate --metric fid,kid,precision,recall`" in training.err


def test_pictures_are_of_the_classes_that_their_folders_are_named_after(sngan: Any, tmp_path: Path) -> None:
    command = ("--against", "shapes", "--size", 32, "--protocol", "quick", "--metric", "accuracy,intra-fid", "--json")
    right = sngan("evaluate", "--images", drawn(tmp_path / "right", 60, side=32), *command, "--device", "cpu").json
    assert {s["metric"]: s["value"] > 0.9 for s in right} == {"accuracy": True, "intra-fid": True}
    few = drawn(tmp_path / "few", 60, side=32)
    for folder in sorted(few.iterdir())[2:]:
        shutil.rmtree(folder)
    (first, second) = sorted(few.iterdir())
    assert sngan("evaluate", "--images", few, *command, "--device", "cpu").json[0]["value"] > 0.9
    first.rename(few / "x")
    refused = sngan("evaluate", "--images", few, *command, "--device", "cpu")
    assert refused.code == 2
    assert f"the folders x in {few} are none of the data's classes, disc, ring, square, triangle, ...:" in refused.err
    second.rename(first)
    (few / "x").rename(second)
    swapped = sngan("evaluate", "--images", few, *command, "--device", "cpu").json
    assert swapped[0]["value"] < 0.1
    remark = "classes are left out, so that there is no value: fewer than two generated images of 8"
    assert remark in swapped[1]["evidence"]["remark"]


def test_pictures_that_are_compared_with_themselves_are_remarked_on(sngan: Any, tmp_path: Path) -> None:
    own = drawn(tmp_path / "own", 12)
    shutil.copytree(own, tmp_path / "copy")
    command = ("evaluate", "--against", "folder", "--data-dir", own, "--extractor", "shapes-cnn", "--protocol", "quick",
               "--metric", "is,fid", *FEW)  # fmt: skip
    said = "these are the very pictures that they are compared with"
    done = sngan(*command, "--images", tmp_path / "copy")
    assert done.code == 0, done.err
    assert f"fid: {said}; 12 images for 128 features" in done.err
    assert done.err.count(said) == 1  # the Inception Score compares nothing
    (kept,) = [s for s in sngan("scores", "list", "--json").json if s["metric"] == "fid"]
    assert kept["evidence"]["remark"].startswith(said)
    (tmp_path / "copy" / "disc" / "0.png").unlink()
    assert said not in sngan(*command, "--images", tmp_path / "copy").err


def test_pictures_that_cannot_be_read_are_named_and_too_few_are_said(sngan: Any, tmp_path: Path) -> None:
    folder = drawn(tmp_path / "own", 12, labelled=False)
    (folder / "broken.png").write_bytes(b"no picture")
    done = sngan("evaluate", "--images", folder, "--against", "shapes", "--size", 8, "--protocol", "quick",
                 "--metric", "fid,diversity", "--device", "cpu")  # fmt: skip
    assert done.code == 0, done.err
    assert "Skipped 1 of 13 pictures, such as broken.png: it is in no picture format" in done.err
    assert "diversity, fid: 12 pictures, where quick has 40" in done.err.replace("fid, diversity", "diversity, fid")
    assert "classes=one" in done.out


@pytest.mark.parametrize("beside", [[], ["fid"]])
def test_every_metric_that_pictures_are_too_few_for_is_named(sngan: Any, tmp_path: Path, beside: list[str]) -> None:
    two = drawn(tmp_path / "two", 2, labelled=False)
    done = sngan("evaluate", "--images", two, "--against", "shapes", "--size", 8, "--protocol", "quick", "--metric",
                 ",".join(["precision", "kid", "density", *beside]), "--set", "metrics.density.neighbours=1000",
                 "--set", "metrics.kid.subset_size=12", "--device", "cpu")  # fmt: skip
    assert (done.code, "fid" in done.out) == (1, bool(beside))
    for said in (
        "Not scored: precision. Precision with neighbours = 3 needs more generated images than 2: score more",
        "Not scored: kid. A KID over subsets of 12 needs at least as many generated images, not 2: score more",
        "Not scored: density. Density with neighbours = 1000 needs more generated images than 2: score more",
    ):
        assert done.err.count(said) == 1, done.err


def test_metrics_that_fail_for_one_reason_are_named_with_it_once(sngan: Any, tmp_path: Path) -> None:
    one = drawn(tmp_path / "one", 2)
    next(one.glob("*/1.png")).write_bytes(b"no picture")
    done = sngan("evaluate", "--images", one, "--against", "shapes", "--size", 8, "--protocol", "quick", "--metric",
                 "fid,intra-fid", "--device", "cpu")  # fmt: skip
    assert done.code == 1
    said = "Not scored: fid, intra-fid. The covariance of an FID needs two images at least, not 1: score more of them."
    assert f"error: {said}\n" in done.err


def test_a_score_of_another_seed_replaces_none(sngan: Any, tiny: list[str]) -> None:
    run = sngan("train", *tiny, "--steps", 1, "--seed", 7).out.strip()
    command = ("evaluate", run, "--protocol", "quick", "--metric", "fid", "--device", "cpu", "--json")
    found = [sngan(*command, *seed).json[0] for seed in ((), ("--seed", 0), ("--seed", 7), ("--seed", 5))]
    assert [score["evidence"]["seed"] for score in found] == [7, 0, 7, 5]
    assert [re.findall(r" seed=\d+", score["protocol"]) for score in found] == [[], [" seed=0"], [], [" seed=5"]]
    values = [score["value"] for score in found]
    assert (values[0] == values[2], len({*values})) == (True, 3)
    kept = [s for s in sngan("runs", "show", run, "--json").json["scores"] if s["metric"] == "fid"]
    assert sorted(s["evidence"]["seed"] for s in kept) == [0, 5, 7]


def test_a_run_keeps_its_own_options_of_metrics(sngan: Any, tiny: list[str]) -> None:
    run = sngan("train", *tiny, "--steps", 1, "--set", "metrics.kid.subset_size=8").out.strip()
    done = sngan("evaluate", run, "--protocol", "quick", "--metric", "kid", "--device", "cpu", "--json")
    assert done.json[0]["evidence"]["subset_size"] == 8


def test_labels_are_for_conditional_runs(sngan: Any, tiny: list[str]) -> None:
    run = sngan("train", *tiny, "--steps", 1).out.strip()
    refused = sngan("evaluate", run, "--protocol", "quick", "--labels", "even", "--device", "cpu")
    assert (refused.code, "is unconditional and draws no classes: leave --labels out" in refused.err) == (2, True)


def test_a_checkpoint_that_goes_meanwhile_stops_none_of_the_others(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sngan_cli import scoring

    monkeypatch.setattr(scoring, "steps_of", lambda *_: [2, 3, 4])
    done = sngan("evaluate", trained, "--protocol", "quick", "--checkpoint", "all", "--device", "cpu", "--json")
    assert [s["step"] for s in done.json] == [2, 4]
    assert "The checkpoint of step 3 is gone" in done.err


def test_a_score_of_what_was_dropped_meanwhile_is_not_recorded(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, before = evaluation.score, sngan("runs", "show", trained, "--json").json["scores"]

    def slow(*arguments: Any, step: int, **options: Any) -> Iterator[Any]:
        if step == 4:
            monkeypatch.setattr(evaluation, "score", score)
            resumed = sngan("train", "--resume", trained, "--checkpoint", 2, "--steps", 6, "--yes")
            assert resumed.code == 0, resumed.err
        yield from score(*arguments, step=step, **options)

    monkeypatch.setattr(evaluation, "score", slow)
    done = sngan("evaluate", trained, "--checkpoint", "all", "--metric", "is", "--protocol", "quick")
    assert done.code == 1
    assert "Not scored: is of step 4. The run was resumed meanwhile from a step before, and what was" in done.err
    found = {(s["step"], s["protocol"]) for s in sngan("runs", "show", trained, "--json").json["scores"]}
    new = found - {(s["step"], s["protocol"]) for s in before}
    assert {step for step, _ in new} == {2, 6}


def resumed(store: Store, run_id: str, step: int) -> None:
    store.add_event(run_id, Event(kind="resumed", message=f"Resumed from step {step}.", step=step))


@pytest.mark.parametrize(
    ("before", "meanwhile", "dropped"),
    [
        (2, None, False),
        (None, lambda store, run_id: resumed(store, run_id, 4), False),
        (None, lambda store, run_id: resumed(store, run_id, 3), True),
        (None, lambda store, run_id: store.rewind(run_id, 2), True),  # a moment before it says so
    ],
    ids=["resumed before", "from the step itself", "from before it", "not said yet"],
)
def test_what_was_scored_is_dropped_where_the_run_was_resumed_since_from_before_it(
    sngan: Any,
    trained: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: int | None,
    meanwhile: Callable[[Store, str], None] | None,
    dropped: bool,
) -> None:
    score = evaluation.score

    def slow(*arguments: Any, **options: Any) -> Iterator[Any]:
        if meanwhile is not None:
            with Store.open(home / "registry.db") as store:
                meanwhile(store, trained)
        yield from score(*arguments, **options)

    if before is not None:
        with Store.open(home / "registry.db") as store:
            resumed(store, trained, before)
    monkeypatch.setattr(evaluation, "score", slow)
    done = sngan("evaluate", trained, "--metric", "is", "--protocol", "quick", "--device", "cpu")
    said = "Not scored: is of step 4. The run was resumed meanwhile from a step before"
    assert (done.code, said in done.err) == (int(dropped), dropped)
    kept = sngan("runs", "show", trained, "--json").json["scores"]
    assert any(score["protocol"].endswith("n=60 splits=3") for score in kept) != dropped


def test_a_damaged_checkpoint_costs_the_others_nothing(sngan: Any, trained: str, home: Path) -> None:
    checkpoints = home / "runs" / trained / "checkpoints"
    damaged = next((checkpoints / "step-00000002").glob("*.safetensors"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    command = ("evaluate", trained, "--protocol", "quick", "--metric", "fid,is", "--device", "cpu", "--json")
    done = sngan(*command, "--checkpoint", "all")
    assert (done.code, [(s["step"], s["metric"]) for s in done.json]) == (1, [(4, "fid"), (4, "is")])
    assert f"error: Not scored: step 2. The checkpoint file {damaged} is damaged: " in done.err
    assert "--checkpoint" not in done.err
    kept = sngan("runs", "show", trained, "--json").json
    assert kept["events"][-1]["message"] == "Scored after training, step 4: fid, is by quick."
    alone = sngan(*command, "--checkpoint", 2)
    assert (alone.code, "Use another: --checkpoint 4." in alone.err) == (1, True)
    shutil.rmtree(checkpoints / "step-00000004")
    refused = sngan(*command, "--checkpoint", 4).err  # that of step 2 is damaged, too
    assert f"There is no other: put it back from a copy, or begin again with `sngan train --like {trained}`." in refused
    neither = sngan(*command, "--checkpoint", "all")
    assert (neither.code, neither.out, "step-00000002" in neither.err) == (1, "", True)
    assert "--checkpoint" not in neither.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_what_was_scored_before_a_signal_is_printed(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    scored, signals = evaluation.score, iter([None, number])

    def interrupted(*args: Any, **more: Any) -> list[Scored]:
        if sent := next(signals):
            signal.raise_signal(sent)
        return scored(*args, **more)

    monkeypatch.setattr(evaluation, "score", interrupted)
    command = ("evaluate", trained, "--checkpoint", "all", "--protocol", "quick", "--device", "cpu", "--metric", "fid")
    done = sngan(*command)
    assert (done.code, done.err.splitlines()[-1]) == (code, "interrupted")
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [["2", "raw", "fid"]]
    kept = json.loads((home / "runs" / trained / "run.json").read_text())
    assert kept["events"][-1]["message"] == "Scored after training, step 2: fid by quick."
    signals = iter([number])
    at_once = sngan(*command)
    assert (at_once.code, at_once.out) == (code, "")


def test_metrics_that_are_done_when_a_signal_comes_are_kept(
    sngan: Any, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Splits, "result", interrupt)
    command = ("evaluate", trained, "--protocol", "quick", "--device", "cpu", "--metric", "fid,is", "--json")
    done = sngan(*command)
    assert (done.code, [score["metric"] for score in done.json]) == (75, ["fid"])


def test_features_of_other_images_are_not_taken_from_the_cache(sngan: Any, trained: str, home: Path) -> None:
    command = ("evaluate", trained, "--protocol", "quick", "--metric", "fid", "--device", "cpu", "--json")
    first = sngan(*command).json
    (kept,) = (home / "cache" / "features").iterdir()
    save_file({name: tensor[:7].clone() for name, tensor in load_file(kept).items()}, kept)
    assert sngan(*command).json == first


def test_pictures_without_a_data_set_keep_their_side(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side 8 is the extractor's business; several sides, or another one, are the user's."""
    folder = drawn(tmp_path / "p", 60, labelled=False, side=80)
    score = ("evaluate", "--images", folder, "--metric", "is", "--extractor", "shapes-cnn", "--protocol", "quick")
    done = sngan(*score, *FEW, "--json")
    (found,) = done.json
    assert (found["protocol"].endswith(" n=60 splits=2"), "resized" in done.err) == (True, False)
    done = sngan(*score, *FEW, "--json", "--size", 16)
    (small,) = done.json
    assert small["protocol"].endswith(" n=60 side=16 splits=2")
    assert small["evidence"]["pictures resized"] == "80 px to 16 px"
    assert "warning: The pictures are resized, 80 px to 16 px." in done.err
    Image.new("RGB", (5, 7)).save(folder / "30.png")  # neither the first nor the last
    monkeypatch.setattr(picture_scoring, "prepare", pytest.fail)  # nothing is decoded for it
    refused = sngan(*score, *FEW)
    assert refused.code == 2
    assert f"The pictures in {folder} have sides of 5 to 80 px: say with --size" in refused.err


def test_pictures_are_resized_to_the_side_of_the_data_and_it_is_said(sngan: Any, tmp_path: Path) -> None:
    folder = drawn(tmp_path / "p", 40, labelled=False, side=12)
    score = ("evaluate", "--images", folder, "--set", "metrics.is.splits=2", "--protocol", "quick", "--json", *FEW[2:])
    against = ("--against", "shapes", "--set", "dataset.images=40")
    done = sngan(*score, *against, "--size", 8)
    found = {score["metric"]: score for score in done.json}
    assert found["fid"]["evidence"]["pictures resized"] == "12 px to 8 px"
    assert "The pictures are resized, 12 px to 8 px." in done.err
    # Real images say to which side, and metrics that look at none of them say so themselves, as without any.
    assert " side=" not in found["fid"]["protocol"]
    assert found["is"]["protocol"].endswith(" n=40 side=8 splits=2")
    (alone,) = sngan(*score, "--extractor", "shapes-cnn", "--size", 8).json
    assert (alone["value"], alone["protocol"]) == (found["is"]["value"], found["is"]["protocol"])
    assert not any(" side=" in score["protocol"] for score in sngan(*score, *against, "--size", 12).json)
    enlarged = sngan(*score, *against, "--size", 16)
    assert enlarged.json[0]["evidence"]["pictures resized"] == "12 px to 16 px"
    assert ("Enlarged 40 of 40 pictures to 16 px" in enlarged.err, "are resized" in enlarged.err) == (True, False)


def test_pictures_are_cut_and_it_is_said_and_noted(sngan: Any, tmp_path: Path) -> None:
    for k in range(40):
        Image.new("RGB", (20 if k else 8, 8), (6 * k, 0, 0)).save(tmp_path / f"{k}.png")
    done = sngan("evaluate", "--images", tmp_path, "--extractor", "shapes-cnn", "--protocol", "quick", "--json", *FEW)
    assert done.json[0]["evidence"]["pictures cut"] == "39 of 40, to the square in their middle"
    assert "warning: Pictures are cut to the square in their middle: 39 of 40.\n" in done.err


def test_a_size_is_asked_for_where_one_of_many_pictures_has_another_side(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = drawn(tmp_path / "p", 40, labelled=False)
    Image.new("RGB", (9, 9)).save(folder / "9.png")
    monkeypatch.setattr(picture_scoring, "_sides", lambda pictures: {8})  # of many only some are looked at
    refused = sngan("evaluate", "--images", folder, "--extractor", "shapes-cnn", "--protocol", "quick", *FEW)
    assert (refused.code, "have sides of 8 to 9 px: say with --size" in refused.err) == (2, True)


def test_the_only_folder_is_a_class_where_it_is_called_so(sngan: Any, tmp_path: Path) -> None:
    for name in ("star", "others"):
        drawn(tmp_path / name / name, 40, labelled=False)
    score = ("evaluate", "--against", "shapes", "--size", 8, "--metric", "accuracy,is", "--protocol", "quick", "--json")
    done = sngan(*score, "--images", tmp_path / "star", *FEW)
    assert done.code == 0, done.err
    (accuracy,) = [found for found in done.json if found["metric"] == "accuracy"]
    assert list(accuracy["evidence"]["classes"]) == ["star"]
    (which,) = [word for word in accuracy["protocol"].split() if word.startswith("classes=1of10@")]
    drawn(tmp_path / "disc" / "disc", 40, labelled=False)
    disc = sngan(*score, "--images", tmp_path / "disc", *FEW)
    assert which not in str(disc.json)  # which classes they are is part of the protocol
    assert accuracy["evidence"]["remark"] == "9 of 10 classes are left out: there are no images of them"
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "star" / "star").rename(tmp_path / "far" / "away" / "star")
    (far, _) = sngan(*score, "--images", tmp_path / "far", *FEW).json
    assert list(far["evidence"]["classes"]) == ["star"]
    refused = sngan(*score, "--images", tmp_path / "others", *FEW)
    assert (refused.code, "lie in no folders of the data's classes" in refused.err) == (2, True)


@pytest.mark.parametrize("better", ["quick", "other extractor", "nan"])
def test_the_best_checkpoint_is_that_of_one_protocol(sngan: Any, trained: str, home: Path, better: str) -> None:
    with Store.open(home / "registry.db") as store:
        first, second = sorted((s for s in store.scores(trained) if s.metric == "is"), key=lambda score: score.step)
        high, low = (first, second) if first.value > second.value else (second, first)
        later = replace(low, value=1e3, created=None, protocol="other n=1")
        match better:
            case "quick":
                store.add_score(trained, later)
            case "other extractor":
                store.add_score(trained, later)
                store.add_score(trained, replace(later, step=high.step, value=1.0))
            case "nan":
                store.add_score(trained, replace(low, value=float("nan")))
    done = sngan("sample", trained, "--checkpoint", "best", "-n", 4, "-o", home / "best.png")
    assert done.code == 0, done.err
    sngan("sample", trained, "--checkpoint", high.step, "-n", 4, "-o", home / "high.png")
    sngan("sample", trained, "--checkpoint", low.step, "-n", 4, "-o", home / "low.png")
    assert (home / "best.png").read_bytes() == (home / "high.png").read_bytes() != (home / "low.png").read_bytes()


def test_evidence_says_which_of_the_runs_checkpoints_it_was(sngan: Any, trained: str) -> None:
    def chosen(which: str) -> dict[int, str]:
        done = sngan(
            "evaluate", trained, "--checkpoint", which, "--protocol", "quick", "--metric", "is", *FEW[2:], "--json"
        )
        return {score["step"]: score["evidence"]["checkpoint"] for score in done.json}

    assert chosen("all") in ({2: "all (best)", 4: "all (last)"}, {2: "all", 4: "all (best and last)"})
    assert chosen("4")[4] in ("step (last)", "step (best and last)")
    assert chosen("last") == {4: "last"}
    assert [*chosen("best").values()] == ["best"]

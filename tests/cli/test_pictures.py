"""`sngan sample`, `interpolate` and `datasets preview`: the pictures that they leave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sngan_cli.engine import cache
from sngan_registry import Store


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def tiles(path: Path, columns: int, side: int = 8) -> np.ndarray:
    """Images of a grid (rows, columns, side, side, 3)."""
    sheet = pixels(path)
    rows = (sheet.shape[0] - 2) // (side + 2)
    assert sheet.shape[1] == columns * (side + 2) + 2
    return sheet[2:, 2:].reshape(rows, side + 2, columns, side + 2, 3)[:, :side, :, :side].swapaxes(1, 2)


def test_samples_by_class_name_and_number_are_the_same(sngan: Any, trained: str, tmp_path: Path) -> None:
    done = sngan("sample", trained, "--class", "star", "-n", 9, "-o", tmp_path / "a.png")
    assert done.out.strip() == str(tmp_path / "a.png")
    sngan("sample", trained, "--class", "4", "-n", 9, "-o", tmp_path / "b.png")
    sngan("sample", trained, "--class", "4", "-n", 9, "--seed", 1, "-o", tmp_path / "c.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    assert not np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "c.png"))
    assert tiles(tmp_path / "a.png", 3).shape == (3, 3, 8, 8, 3)


def test_a_conditional_sheet_has_a_class_a_row(sngan: Any, trained: str, tmp_path: Path) -> None:
    sngan("sample", trained, "-n", 30, "-o", tmp_path / "sheet.png")
    assert tiles(tmp_path / "sheet.png", 3).shape[:2] == (10, 3)


def test_no_class_is_left_out_of_a_sheet(sngan: Any, trained: str, tmp_path: Path) -> None:
    assert sngan("sample", trained, "-n", 25, "-o", tmp_path / "a.png").code == 0
    assert tiles(tmp_path / "a.png", 3).shape[:2] == (10, 3)


def test_a_run_of_a_plugin_that_is_gone_names_it(sngan: Any, trained: str, home: Path, tmp_path: Path) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE components SET name = 'wasserstein', distribution = 'third-party' WHERE role = 'loss'"
        )
        connection.exec_driver_sql("UPDATE runs SET config = json_replace(config, '$.loss.name', 'wasserstein')")
    for arguments in (["train", "--resume", trained, "--steps", 9], ["evaluate", trained]):
        done = sngan(*arguments)
        assert done.code == 3
        assert "the loss 'wasserstein' of third-party 0.1.0, which is not installed: pip install" in done.err
    like = sngan("train", "--like", trained, "--dry-run")
    assert like.code == 3
    assert like.err.endswith("pip install 'third-party==0.1.0', or choose another with --loss.\n"), like.err
    assert sngan("train", "--like", trained, "--loss", "hinge", "--dry-run").code == 0
    done = sngan("sample", trained, "-o", tmp_path / "x.png")  # the generator needs no loss
    assert done.code == 0, done.err


def test_a_run_whose_generators_plugin_is_gone_draws_nothing(
    sngan: Any, trained: str, home: Path, tmp_path: Path
) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE components SET name = 'u-net', distribution = 'third-party' WHERE role = 'arch_g'"
        )
    done = sngan("interpolate", trained, "-o", tmp_path / "x.png")
    assert done.code == 3
    assert "the architecture 'u-net' of third-party 0.1.0, which is not installed: pip install" in done.err


def test_a_run_scored_by_a_plugin_that_is_gone_may_be_begun_again_with_other_metrics(
    sngan: Any, trained: str, home: Path
) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE components SET role = 'metrics.x', name = 'x', distribution = 'gone' WHERE role = 'metrics.is'"
        )
        connection.exec_driver_sql("UPDATE runs SET config = json_set(config, '$.metrics', json('{\"x\": {}}'))")
    like = sngan("train", "--like", trained, "--dry-run")
    assert like.code == 3
    assert "the metric 'x' of gone 0.1.0" in like.err
    assert like.err.endswith("or choose another with --metric.\n"), like.err
    assert sngan("train", "--like", trained, "--metric", "fid", "--dry-run").code == 0


def test_averaged_weights_and_earlier_checkpoints_draw_other_pictures(sngan: Any, trained: str, tmp_path: Path) -> None:
    for name, arguments in {"last": [], "raw": ["--weights", "raw"], "averaged": ["--weights", "averaged"],
                            "two": ["--checkpoint", "2"], "best": ["--checkpoint", "best"]}.items():  # fmt: skip
        done = sngan("sample", trained, "-n", 4, "-o", tmp_path / f"{name}.png", *arguments)
        assert done.code == 0, done.err
    drawn = {name: pixels(tmp_path / f"{name}.png") for name in ("last", "raw", "averaged", "two")}
    assert np.array_equal(drawn["last"], drawn["raw"])
    assert not np.array_equal(drawn["last"], drawn["averaged"])
    assert not np.array_equal(drawn["last"], drawn["two"])


@pytest.mark.parametrize("along", ["linear", "spherical"])
def test_paths_of_a_class_have_steps_columns(sngan: Any, trained: str, tmp_path: Path, along: str) -> None:
    output = tmp_path / "grid.png"
    done = sngan("interpolate", trained, "--class", 5, "--rows", 3, "--steps", 4, "--along", along, "-o", output)
    assert done.code == 0, done.err
    assert tiles(output, 4).shape[:2] == (3, 4)


def test_a_path_between_classes_begins_and_ends_at_them(sngan: Any, trained: str, tmp_path: Path) -> None:
    sngan("interpolate", trained, "--class", "disc:star", "--rows", 2, "--steps", 5, "-o", tmp_path / "way.png")
    sngan("interpolate", trained, "--class", "star:disc", "--rows", 2, "--steps", 5, "-o", tmp_path / "back.png")
    way, back = tiles(tmp_path / "way.png", 5), tiles(tmp_path / "back.png", 5)
    assert np.array_equal(way[:, 0], back[:, 4])
    assert np.array_equal(way[:, 4], back[:, 0])


def test_a_figure_has_samples_on_the_left_and_paths_on_the_right(sngan: Any, trained: str, tmp_path: Path) -> None:
    options = ["--rows", 10, "--steps", 4]
    assert sngan("interpolate", trained, *options, "--figure", "-o", tmp_path / "figure.png").code == 0
    assert sngan("interpolate", trained, *options, "-o", tmp_path / "paths.png").code == 0
    assert sngan("sample", trained, "-n", 40, "--columns", 4, "-o", tmp_path / "samples.png").code == 0
    with Image.open(tmp_path / "figure.png") as figure, Image.open(tmp_path / "paths.png") as paths:
        width = paths.width
        assert figure.size == (2 * width + 8, paths.height)
        with Image.open(tmp_path / "samples.png") as samples:
            assert np.array_equal(figure.crop((0, 0, width, figure.height)), samples)
        assert np.array_equal(figure.crop((width + 8, 0, figure.width, figure.height)), paths)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_has_a_frame_a_step(sngan: Any, trained: str, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"way.{ending}"
    assert sngan("interpolate", trained, "--rows", 4, "--steps", 6, "-o", output).code == 0
    with Image.open(output) as found:
        assert found.n_frames == 10
        assert found.size == (2 * 10 + 2, 2 * 10 + 2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sample", "RUN", "--class", "zzz", "-o", "new/x.png"], 3, r"There is no class 'zzz'\. Known: bar, "),
        (["sample", "RUN", "--class", "hart", "-o", "new/x.png"], 3, r"no class 'hart'\. Did you mean 'heart'"),
        (["sample", "RUN", "--class", "10", "-o", "new/x.png"], 3, r"classes run from 0 \(disc\) to 9 \(hourglass\)"),
        (["sample", "RUN", "--class", "-1", "-o", "new/x.png"], 3, r"There is no class -1: classes run from 0"),
        (["interpolate", "RUN", "--class", "0:12", "-o", "new/x.png"], 3, r"There is no class 12"),
        (["sample", "RUN", "--class=--5", "-o", "new/x.png"], 3, r"There is no class '--5'"),
        (["sample", "RUN", "--class", "²", "-o", "new/x.png"], 3, r"There is no class '²'"),
        (["sample", "RUN", "--checkpoint", "²", "-o", "new/x.png"], 3, r"no checkpoint '²'"),
        (["sample", "RUN", "-n", "100000000", "-o", "new/x.png"], 2, r"-n"),
        (["sample", "RUN", "-o", "x.txt"], 2, r"'x\.txt' has no known ending: use one of \.png"),
        (["sample", "RUN", "-o", "x.gif"], 2, r"'x\.gif' has no known ending"),
        (["sample", "RUN", "-o", "file/x.png"], 2, r"cannot be written"),
        (["sample", "nobody", "-o", "new/x.png"], 3, r"There is no run 'nobody'"),
        (["sample", "RUN", "--checkpoint", "7", "-o", "new/x.png"], 3, r"no checkpoint '7'"),
        (["interpolate", "RUN", "--steps", "1", "-o", "new/x.png"], 2, r"steps"),
        (["interpolate", "RUN", "--figure", "-o", "x.gif"], 2, r"'x\.gif' moves, and --figure stands still"),
        (["interpolate", "nobody", "-o", "new/x.png"], 3, r"There is no run 'nobody'"),
        (["runs", "plot", "nobody", "-o", "new/x.png"], 3, r"There is no run 'nobody'"),
        (["runs", "plot", "RUN", "--what", "fid", "-o", "new/x.png"], 3, r"has no curve 'fid'"),
        (["runs", "export", "nobody", "-o", "new/x.zip"], 3, r"There is no run 'nobody'"),
        (["runs", "export", "RUN", "--checkpoint", "7", "-o", "new/x.zip"], 3, r"no checkpoint '7'"),
        (["experiments", "report", "nothing", "-o", "new/x"], 3, r"There is no experiment 'nothing'"),
        (["datasets", "preview", "shpaes", "-o", "new/x.png"], 3, r"There is no dataset 'shpaes'"),
        (["datasets", "preview", "folder", "--data-dir", "nowhere", "-o", "new/x.png"], 3, r"nowhere does not exist"),
        (["sample", "RUN", "--device", "cuda:9", "-o", "new/x.png"], 2, r"'cuda:9' is not there"),
    ],
)
def test_bad_requests(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = sngan(*[trained if a == "RUN" else a for a in arguments])
    assert done.code == code, done.err
    assert re.search(message, done.err), done.err
    assert not (tmp_path / "new").exists()


def test_an_unconditional_run_has_no_classes(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    sngan("train", *tiny, "--steps", 1)
    done = sngan("sample", "@last", "--class", "star", "-o", tmp_path / "x.png")
    assert done.code == 2
    assert "unconditional and has no class 'star'" in done.err
    assert sngan("sample", "@last", "-n", 9, "-o", tmp_path / "x.png").code == 0
    assert tiles(tmp_path / "x.png", 3).shape[:2] == (3, 3)


def test_a_preview_shows_a_class_a_row(sngan: Any, tmp_path: Path) -> None:
    output = tmp_path / "shapes.png"
    done = sngan("datasets", "preview", "shapes", "--size", 8, "-n", 20, "--set", "dataset.images=40", "-o", output)
    assert done.code == 0, done.err
    assert tiles(output, 2).shape[:2] == (10, 2)


def test_a_preview_of_a_small_class_beside_a_large_one(sngan: Any, tmp_path: Path) -> None:
    for name in ("ant/0", "bee/0", "bee/1", "bee/2"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "own" / f"{name}.png")
    output = tmp_path / "own.png"
    assert sngan("datasets", "preview", "folder", "--data-dir", tmp_path / "own", "-o", output).code == 0
    assert tiles(output, 3)[:, :, 0, 0, 0].tolist() == [[0, 255, 255], [0, 0, 0]]


def test_a_preview_has_ten_pictures_of_a_class_unless_told(sngan: Any, tmp_path: Path) -> None:
    for k in range(24):
        (tmp_path / "own" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "own" / "ab"[k % 2] / f"{k}.png")
    output = tmp_path / "own.png"
    assert sngan("datasets", "preview", "folder", "--data-dir", tmp_path / "own", "-o", output).code == 0
    assert tiles(output, 10).shape[:2] == (2, 10)


def test_a_preview_of_unlabelled_pictures_is_square(sngan: Any, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for k in range(7):
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / "own" / f"{k}.png")
    output = tmp_path / "own.png"
    assert sngan("datasets", "preview", "folder", "--data-dir", tmp_path / "own", "-o", output).code == 0
    assert pixels(output).shape == (3 * 10 + 2, 3 * 10 + 2, 3)


def test_a_preview_takes_options_of_the_data_set_only(sngan: Any, tmp_path: Path) -> None:
    done = sngan("datasets", "preview", "shapes", "--set", "loss.margin=2", "-o", tmp_path / "x.png")
    assert done.code == 2
    assert "only options of the data set can be set here" in done.err


def test_a_data_set_is_prepared_before_it_is_trained_on(sngan: Any, home: Path, tmp_path: Path) -> None:
    for k in range(4):
        place = tmp_path / "own" / ("cat", "dog")[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (k, k, k)).save(place / f"{k}.png")
    (tmp_path / "own" / "cat" / "torn.png").write_bytes(b"\x89PNG")
    given = ["datasets", "prepare", "folder", "--data-dir", tmp_path / "own", "--size", 8]
    done = sngan(*given)
    assert done.code == 0, done.err
    assert "folder: 4 pictures of 8 px, 2 classes, content " in done.err
    assert "Skipped 1 of 5 pictures, such as cat/torn.png: " in done.err
    folder = Path(done.out.strip())
    assert np.load(folder / "images.npy").shape == (4, 8, 8, 3)
    before = (folder / "images.npy").stat().st_mtime_ns
    again = sngan(*given, "--json").json
    assert (again["path"], again["pictures"], again["side"], again["classes"]) == (str(folder), 4, 8, ["cat", "dog"])
    assert (folder / "images.npy").stat().st_mtime_ns == before
    assert "More than 0 of 5 pictures cannot be read" in sngan(*given, "--set", "dataset.max_unreadable=0").err
    (tmp_path / "own" / "notes.txt").touch()
    read = "read are avif, bmp, gif, jfif, jpeg, jpg, pgm, png, ppm, tif, tiff, webp."
    assert sngan(*given, "--json").json["remarks"] == [f"Passed over 1 file of another kind, such as notes.txt: {read}"]


def test_preparing_looks_at_large_files_to_their_end(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = ["shapes", "--size", 8, "--set", "dataset.images=20"]
    folder = Path(sngan("datasets", "prepare", *shapes).out.strip())
    whole = (folder / "images.npy").read_bytes()
    monkeypatch.setattr(cache, "_CHECKED", 0)
    (folder / "images.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said = f"The decoded pictures in {folder} were damaged, and have been decoded anew: check the disk."
    assert said not in sngan("datasets", "preview", *shapes, "-o", tmp_path / "x.png").err
    assert said in sngan("datasets", "prepare", *shapes).err
    assert (folder / "images.npy").read_bytes() == whole


def test_a_dead_link_is_skipped_and_told_of_alike_by_every_command(
    sngan: Any, tiny: list[str], home: Path, tmp_path: Path
) -> None:
    for k in range(20):
        place = tmp_path / "own" / ("cat", "dog")[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (k, k, k)).save(place / f"{k}.png")
    (tmp_path / "own" / "cat" / "dead.png").symlink_to("gone.png")
    (tmp_path / "own" / "dog" / "20.png").symlink_to(tmp_path / "own" / "dog" / "1.png")
    own = ["folder", "--data-dir", tmp_path / "own"]
    training = [word for word in tiny[4:] if word not in ("--device", "cpu")]
    said = (
        "warning: Skipped 1 of 22 pictures, such as cat/dead.png: it is a link to gone.png, which is not there. "
        "Mend it, or remove it.\n"
    )
    for command in (
        ["datasets", "prepare", *own],
        ["extractors", "train", "mine", "--dataset", *own, "--epochs", 1, "--width", 4, "--device", "cpu"],
        ["train", "--dataset", *own, *training, "--steps", 1, "--extractor", "shapes-cnn", "--device", "cpu"],
        ["evaluate", "--images", tmp_path / "own", "--against", "shapes", "--size", 8, "--metric", "fid", "--device",
         "cpu"],
    ):  # fmt: skip
        done = sngan(*command)
        assert (done.code, done.err.count(said)) == (0, 1), done.err


def test_the_data_sets_are_listed(sngan: Any) -> None:
    listed = {entry["name"]: entry for entry in sngan("datasets", "list", "--json").json}
    assert {"shapes", "folder", "cifar10", "stl10"} <= set(listed)
    assert "nothing to download" in listed["shapes"]["pictures"]


def test_the_plugins_are_listed_and_shown(sngan: Any) -> None:
    listed = sngan("plugins", "list", "--json").json
    assert all(entry["problem"] is None for entry in listed if entry["distribution"] == "sngan")
    assert {"hinge", "spectral", "is", "shapes-cnn", "standard"} <= {entry["name"] for entry in listed}
    only = sngan("plugins", "list", "--kind", "loss", "--json").json
    assert {entry["kind"] for entry in only} == {"loss"}
    shown = sngan("plugins", "show", "resnet-preact", "--json").json
    width = next(option for option in shown["options"] if option["name"] == "width")
    assert (width["type"], width["default"]) == ("number", 1.0)
    assert "Multiplier" in width["description"]
    assert 48 in shown["generator_sides"]
    assert "Miyato" in sngan("plugins", "show", "resnet-preact").out
    assert "Did you mean 'hinge'" in sngan("plugins", "show", "hing").err
    assert "no kind of component 'los'" in sngan("plugins", "list", "--kind", "los").err

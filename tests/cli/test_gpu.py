"""The program on a GPU, and on two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

METRICS = ("is", "fid", "kid", "precision", "recall", "density", "coverage", "intra-fid", "diversity", "accuracy")
FEW = ("--set", "metrics.is.splits=2", "--set", "metrics.kid.subset_size=8")


def test_a_run_is_trained_scored_and_drawn(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    """By every metric, with an extractor that was trained there, and on a CPU in between."""
    extractor = (
        "--dataset", "shapes", "--set", "dataset.images=120", "--size", 8, "--width", 4, "--epochs", 1, "--batch-size",
        16, "--device", "cuda",
    )  # fmt: skip
    settings = (
        *tiny, *FEW, "--device", "cuda", "--name", "gpu", "--extractor", "mine", "--conditional", "--checkpoint-every",
        2, "--ema", 0.9, *(part for name in METRICS[3:] for part in ("--set", f"metrics.{name}={{}}")),
    )  # fmt: skip
    sheet, film = tmp_path / "sheet.png", tmp_path / "film.gif"
    for command in (
        ("extractors", "train", "mine", *extractor),
        ("train", *settings, "--set", "metrics.fid={}", "--steps", 4),
        ("train", "--resume", "gpu", "--steps", 6, "--device", "cpu", "--precision", "fp32"),
        ("train", "--resume", "gpu", "--steps", 8, "--device", "cuda:0"),
        ("evaluate", "gpu", *FEW, "--metric", ",".join(METRICS), "--device", "cuda", "--precision", "bf16",
         "--protocol", "quick"),
        ("sample", "gpu", "-n", 20, "-o", sheet, "--standing", "--truncation", 1, "--device", "cuda"),
        ("interpolate", "gpu", "--class", "0:1", "--steps", 3, "-o", film, "--device", "cuda", "--weights", "averaged"),
        ("interpolate", "gpu", "--figure", "--steps", 3, "-o", sheet, "--device", "cuda"),
    ):  # fmt: skip
        done = sngan(*command)
        assert done.code == 0, done.err
    run = sngan("runs", "show", "gpu", "--json").json
    assert run["environment"]["device"] == f"{torch.cuda.get_device_name(0)} (cuda:0)"
    assert {score["metric"] for score in run["scores"] if score["step"] == 8} == set(METRICS)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_as_one_does(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to rounding, resumed in between."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = ("--device", "cuda", "--precision", "fp32", "--conditional", "--set", "lr_decay=none")
    losses = []
    for devices in (1, 2):
        done = sngan("train", *tiny, *settings, "--steps", 3, "--devices", devices)
        assert done.code == 0, done.err
        assert sngan("train", "--resume", done.out.strip(), "--steps", 6).code == 0
        run = sngan("runs", "show", done.out.strip(), "--json").json
        losses.append([scalar["value"] for scalar in run["scalars"]])
    one, two = losses
    assert one == pytest.approx(two, rel=0.05, abs=0.05)

"""The plain step that sngan's speed is measured against trains the same losses as ours."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, RunConfig, recipe
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.step import iteration

CPU = torch.device("cpu")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
BATCH, N_DIS, CLASSES = 2, 2, 3


class Drawn:
    """Real batches and latents, the same for whoever begins anew."""

    def __init__(self, side: int, classes: int | None) -> None:
        self.side, self.classes = side, classes
        self.of_real, self.of_latents = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)

    def next(self, images: int, _: object = None) -> tuple[Tensor, Tensor]:
        x = 2 * torch.rand(images, 3, self.side, self.side, generator=self.of_real) - 1
        return x, torch.randint(CLASSES, (images,), generator=self.of_real)

    def latents(self, images: int) -> tuple[Tensor, Tensor | None]:
        z = torch.randn(images, 128, generator=self.of_latents)
        return z, None if self.classes is None else torch.randint(CLASSES, (images,), generator=self.of_latents)


def build(arch: str, side: int, classes: int | None) -> tuple[Gan, RunConfig]:
    values = {
        "dataset": "shapes", "size": side, "arch": {"name": arch}, "conditional": classes is not None, "device": "cpu",
        "batch_size": BATCH, "g_batch_size": BATCH, "n_dis": N_DIS,
    }  # fmt: skip
    composition = compose([recipe("paper"), Layer("test", values)], Catalog.installed())
    return Gan.build(composition, classes, World(CPU)), composition.config


def settle(ours: nn.Module, plain: nn.Module) -> None:
    """Set u and v of every spectral norm to the first singular vectors of its weight.

    One power iteration an update (ours) and one a pass (torch's) then find the same sigma, up to second order.
    """
    for mine, theirs in zip(constrained(ours), constrained(plain), strict=True):
        (norm,), (other,) = mine.parametrizations.weight, theirs.parametrizations.weight
        matrix = norm._matrix(mine.parametrizations.weight.original.detach())
        u = torch.linalg.eigh((matrix @ matrix.T).double()).eigenvectors[:, -1].float()
        for vector in (norm.u, other._u):
            vector.copy_(u)
        norm.v.copy_(F.normalize(matrix.T @ u, dim=0))
        matrix = other._reshape_weight_to_matrix(theirs.parametrizations.weight.original.detach())
        other._v.copy_(F.normalize(matrix.T @ u, dim=0))


def copy_weights(ours: nn.Module, plain: nn.Module) -> None:
    """Give ours the weights of the plain network, which has biases besides that its batch norms take away again."""
    mine = list(ours.parameters())
    idle = re.compile(r".*(conv|shortcut).*\.bias") if "Generator" in type(plain).__name__ else re.compile("none")
    theirs = [parameter for name, parameter in plain.named_parameters() if not idle.fullmatch(name)]
    with torch.no_grad():
        for parameter, same in zip(mine, theirs, strict=True):
            parameter.copy_(same)


def constrained(network: nn.Module) -> list[Any]:
    return [layer for layer in network.modules() if parametrize.is_parametrized(layer, "weight")]


@pytest.mark.parametrize(
    ("arch", "side", "classes", "rate"),
    [
        ("standard", 32, None, 0.03),
        ("standard", 32, CLASSES, 0.03),
        ("standard", 48, CLASSES, 0.03),
        ("resnet-preact", 32, None, 1e-3),
        ("resnet-preact", 32, CLASSES, 1e-3),
        ("resnet-preact", 48, None, 1e-2),
    ],
)
def test_the_plain_step_trains_the_same_losses(
    arch: str, side: int, classes: int | None, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    torch.manual_seed(0)
    plain = importlib.import_module("plain").Plain(arch, side, classes, CPU)
    ours, config = build(arch, side, classes)
    for mine, theirs in ((ours.generator, plain.generator), (ours.discriminator, plain.discriminator)):
        copy_weights(mine, theirs)
        settle(mine, theirs)
    for mine, theirs in ((ours.optimizer_g, plain.optimizer_g), (ours.optimizer_d, plain.optimizer_d)):
        for setting in ("lr", "betas", "eps", "weight_decay", "amsgrad"):
            assert mine.param_groups[0][setting] == theirs.param_groups[0][setting]
        # Adam's first updates are signs of gradients, which round-off turns: with a large eps they are smooth.
        for optimizer in (mine, theirs):
            optimizer.param_groups[0].update(eps=1.0, lr=rate)
    for_ours, for_plain = Drawn(side, classes), Drawn(side, classes)
    monkeypatch.setattr(ours, "latents", for_ours.latents)
    monkeypatch.setattr(plain, "latents", for_plain.latents)
    found, expected = [], []
    for _ in range(2):
        losses = iteration(ours, for_ours, config)
        found += [losses.discriminator.item(), losses.generator.item()]
        theirs = plain.iteration([for_plain.next(BATCH) for _ in range(N_DIS)], BATCH)
        expected += [loss.item() for loss in theirs]
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert abs(found[2] - found[0]) > 2e-3  # they have moved by much more


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that prints tables, as if it were called without options."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("sys.argv", ["table.py"])
    return importlib.import_module("table")


def test_the_table_has_every_row_that_was_kept(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    table.main()
    told = capsys.readouterr().out
    texts = [path.read_text(encoding="utf-8") for path in (BENCHMARKS / "results").glob("*.jsonl")]
    kept = [json.loads(line) for text in texts for line in text.splitlines()]
    assert len(kept) > 10
    assert all(f"| `{line['row']}` |" in told for line in kept)


def test_a_result_that_is_cut_off_is_named(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (BENCHMARKS / "results" / "cpu.jsonl").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "cpu.jsonl").write_text(f"{first}\n{first[:100]}", encoding="utf-8")
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    with pytest.raises(SystemExit) as ended:
        table.main()
    assert ended.value.code == 2
    assert f"error: {tmp_path / 'cpu.jsonl'}, line 2: it is no whole JSON" in capsys.readouterr().err


def test_what_two_trainings_at_once_took_has_a_table(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((BENCHMARKS / "results" / "cpu.jsonl").read_text(encoding="utf-8").splitlines()[0])
    median = {"spinning 1": 1.0, "spinning 2": 6.0, "sleeping 1": 1.25, "sleeping 2": 2.0}
    line = {**kept, "benchmark": "sharing", "row": "standard-32", "median": median}
    (tmp_path / "cpu.jsonl").write_text(json.dumps(line), encoding="utf-8")
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    table.main()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| `standard-32` | 1 | 1.000 | 1.250 | 0.80 |",
        "| `standard-32` | 2 | 6.000 | 2.000 | 3.00 |",
    ]


SCRIPTS = (
    "ceiling", "convolutions", "extractor", "inference", "memory", "neighbours", "overhead", "sharing", "startup",
    "step", "table",
)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_does(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module(script)
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert module.__doc__.splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("step", ["--device", "cuda:99"], "argument --device: The device 'cuda:99' is not there"),
        ("step", ["--rounds", "0"], "argument --rounds: 0 is less than 1"),
        ("step", ["--n-dis", "0"], "argument --n-dis: 0 is less than 1"),
        ("step", ["--rows", "resnet-16"], "no row is called resnet-16"),
        ("startup", ["0"], "argument runs: 0 is less than 1"),
        (
            "extractor",
            ["--weights", "missing.pth"],
            "argument --weights: extractor.weights = 'missing.pth' names no file",
        ),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    script: str, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("sys.argv", [f"{script}.py", *options])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(script).main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err

"""`sngan plugins` beside plugins that are broken: they are reported, and break nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with a loss whose module is not there, and one whose name another distribution has taken."""
    metadata = tmp_path / "broken_plugin-2.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 2.5\n")
    (metadata / "entry_points.txt").write_text("[sngan.losses]\nbroken = nowhere_at_all:Loss\nhinge = mine:Hinge\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    Catalog.installed.cache_clear()
    yield
    Catalog.installed.cache_clear()


MISBEHAVING = """
import numpy as np
import torch
from sngan_cli.contracts import Architecture, Dataset, Extractor, Loss, Pictures


class Vector(Loss, contract=1):
    def discriminator(self, real_logits, fake_logits):
        return real_logits

    def generator(self, fake_logits):
        return fake_logits.mean()


class Raising(Vector, contract=1):
    def discriminator(self, real_logits, fake_logits):
        raise ZeroDivisionError("oops")


class Constant(Loss, contract=1):
    def discriminator(self, real_logits, fake_logits):
        return fake_logits.mean() - real_logits.mean()

    def generator(self, fake_logits):
        return torch.zeros(())


class Flat(Architecture, contract=1):
    discriminator_sides = (8,)

    def discriminator(self, shape, norm):
        class Network(torch.nn.Linear):
            def forward(self, x, y):
                return super().forward(x.flatten(1))

        return Network(192, 1)


class Bare(Extractor, contract=1):
    def load(self, device, cache):
        return lambda images: None


class Stumbling(Dataset, contract=1):
    needs_data_dir = False

    def open(self, root, download_to):
        raise KeyError("labels")

    def default_side(self, pictures):
        return 8
"""


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution whose components load, and then do what the contracts do not allow."""
    metadata = tmp_path / "misbehaving-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[sngan.losses]\nvector = misbehaving_plugin:Vector\nraising = misbehaving_plugin:Raising\n"
        "constant = misbehaving_plugin:Constant\n"
        "[sngan.architectures]\nflat = misbehaving_plugin:Flat\n[sngan.extractors]\nbare = misbehaving_plugin:Bare\n"
        "[sngan.datasets]\nstumbling = misbehaving_plugin:Stumbling\n"
    )
    (tmp_path / "misbehaving_plugin.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(str(tmp_path))
    Catalog.installed.cache_clear()
    yield
    Catalog.installed.cache_clear()


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "vector"], "'vector' gives a tensor of shape (2,) for a loss of D, not one of shape (): tell its"),
        (["--loss", "raising"], "cannot be used at 8 px with these options and batches of 4 and 4: ZeroDivisionError"),
        (["--loss", "constant"],
         "error: What 'constant' gives for a loss of G does not depend on the logits: it has no gradient. Tell its"),
        (["--arch-d", "flat", "--arch-g", "standard", "--set", "arch_g.width=0.05"],
         "'flat' gives a tensor of shape (2, 1) for logits, not one of shape (2,): tell its author"),
        (["--extractor", "bare"], "'bare' gives NoneType of shapes [None, None], not Features of two images"),
        (["--dataset", "stumbling", "--set", "dataset={}"],
         "The dataset 'stumbling' of misbehaving 1.0 failed: KeyError: 'labels'. Tell its author"),
    ],
)  # fmt: skip
def test_what_misbehaves_is_named_before_there_is_a_run(
    sngan: Any, tiny: list[str], arguments: list[str], message: str
) -> None:
    usual = tiny[4:] if "--dataset" in arguments else tiny
    usual = [a for a in usual if a != "arch.width=0.05"] if "flat" in arguments else usual
    if "flat" in arguments:
        at = usual.index("--arch")
        usual = usual[:at] + usual[at + 3 :]
    done = sngan("train", *usual, *arguments, "--steps", 1)
    assert done.code == 1, done.err
    assert message in done.err
    assert sngan("runs", "list", "--json").json == []


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_and_a_name_taken_twice_are_listed_with_their_reasons(sngan: Any) -> None:
    done = sngan("plugins", "list", "--kind", "loss", "--json")
    assert done.code == 0
    problems = {(entry["name"], entry["distribution"]): entry["problem"] for entry in done.json}
    assert "cannot be imported from nowhere_at_all:Loss: ModuleNotFoundError" in problems["broken", "broken-plugin"]
    for owner in ("sngan", "broken-plugin"):
        assert "is offered by broken-plugin 2.5 and sngan" in problems["hinge", owner]
    assert problems["cross-entropy", "sngan"] is None
    assert "ModuleNotFoundError" in sngan("plugins", "list").out


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("broken", 1, "of broken-plugin 2.5 cannot be imported"),
        ("hinge", 2, "is offered by broken-plugin 2.5 and sngan"),
        ("cross-entrpy", 2, "There is no component 'cross-entrpy'. Did you mean 'cross-entropy'?"),
    ],
)
def test_what_cannot_be_shown_says_why(sngan: Any, name: str, code: int, message: str) -> None:
    done = sngan("plugins", "show", name)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_name_of_another_kind_is_unknown_to_this_one(sngan: Any) -> None:
    assert "There is no component 'hinge'." in sngan("plugins", "show", "hinge", "--kind", "dataset").err
    assert sngan("plugins", "show", "hinge", "--kind", "loss").out.startswith("loss hinge\nfrom sngan ")

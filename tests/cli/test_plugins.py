"""`sngan plugins` beside plugins that are broken: they are reported, and break nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sngan_cli.catalog import Catalog
from sngan_cli.config.protocols import ScoringProtocol


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


MISBEHAVING = '''
from collections.abc import Callable

import numpy as np
import torch
from sngan_cli.contracts import Architecture, Dataset, Extractor, Loss, Metric, Pictures


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


class Various(Constant, contract=1):
    """Has options that no JSON tells as they are."""

    function: Callable[[int], int] = abs
    order: tuple[int, ...] = (1, 2)


class Penalised(Loss, contract=1):
    """Its penalty is wrong in the way that is chosen."""

    how: str

    def discriminator(self, real_logits, fake_logits):
        return fake_logits.mean() - real_logits.mean()

    def generator(self, fake_logits):
        return -fake_logits.mean()

    def penalty(self, discriminator, real, fake):
        if self.how == "vector":
            return discriminator(real)
        if self.how == "in place":
            return discriminator(real.mul_(0.5)).square().mean()
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "late" and len(real) > 2:
            raise KeyError("third")
        if self.how == "forgetful":
            return torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)[0].square().mean()
        fakes = discriminator(fake, of="fake")
        return (discriminator(real, of="real") - fakes).square().mean()


class Failing(Metric, contract=1):
    """Fails when it is asked for its result, or ends the program at once."""

    how: str = "result"

    def accumulator(self, images):
        if self.how == "exit":
            raise SystemExit(0)
        return Sum()

    def protocol(self):
        return {}


class Sum:
    def add(self, features):
        pass

    def result(self):
        raise KeyError("result")


class Flat(Architecture, contract=1):
    weightless: bool = False
    discriminator_sides = (8,)

    def discriminator(self, shape, norm):
        if self.weightless:
            return torch.nn.Flatten()

        class Network(torch.nn.Linear):
            def forward(self, x, y):
                return super().forward(x.flatten(1))

        return Network(192, 1)


class Blind(Architecture, contract=1):
    generator_sides = (8,)

    def generator(self, shape, norm):
        class Network(torch.nn.Linear):
            latent_dim = 4

            def forward(self, z, y):
                images = torch.tanh(super().forward(z)).view(-1, 3, 8, 8)
                return images if self.training else images * torch.nan

        return Network(4, 192)


class Bare(Extractor, contract=1):
    def load(self, device, cache):
        return lambda images: None


class Stumbling(Dataset, contract=1):
    needs_data_dir = False

    def open(self, root, download_to):
        raise KeyError("labels")

    def default_side(self, pictures):
        return 8


class Void(Stumbling, contract=1):
    def open(self, root, download_to):
        return None


class Numbered(Stumbling, contract=1):
    def open(self, root, download_to):
        return Digits()


class Digits(Pictures):
    identity, class_names = "digits", np.array(["0", "1"])

    def __len__(self):
        return 2

    def name(self, index):
        return str(index)

    def read(self, index, side):
        return np.zeros((side, side, 3), np.uint8), index


class Spelt(Stumbling, contract=1):
    def open(self, root, download_to):
        digits = Digits()
        digits.class_names = "01"
        return digits


class Worded(Stumbling, contract=1):
    def open(self, root, download_to):
        digits = Digits()
        digits.class_names, digits.remarks = None, "take care"
        return digits


class Anonymous(Stumbling, contract=1):
    def open(self, root, download_to):
        digits = Digits()
        digits.identity = None
        return digits


class Halved(Stumbling, contract=1):
    def open(self, root, download_to):
        digits = Digits()
        digits.class_names = ("0", "1")
        digits.read = lambda index, side: (np.zeros((side, side, 3)) / 2, index)
        return digits
'''


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution whose components load, and then do what the contracts do not allow."""
    metadata = tmp_path / "misbehaving-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[sngan.losses]\nvector = misbehaving_plugin:Vector\nraising = misbehaving_plugin:Raising\n"
        "constant = misbehaving_plugin:Constant\npenalised = misbehaving_plugin:Penalised\n"
        "various = misbehaving_plugin:Various\n"
        "[sngan.metrics]\nfailing = misbehaving_plugin:Failing\n"
        "[sngan.architectures]\nflat = misbehaving_plugin:Flat\nblind = misbehaving_plugin:Blind\n"
        "[sngan.extractors]\nbare = misbehaving_plugin:Bare\n"
        "[sngan.datasets]\nstumbling = misbehaving_plugin:Stumbling\nvoid = misbehaving_plugin:Void\n"
        "numbered = misbehaving_plugin:Numbered\nspelt = misbehaving_plugin:Spelt\nworded = misbehaving_plugin:Worded\n"
        "halved = misbehaving_plugin:Halved\nanonymous = misbehaving_plugin:Anonymous\n"
    )
    (tmp_path / "misbehaving_plugin.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "misbehaving_plugin", raising=False)
    Catalog.installed.cache_clear()
    yield
    Catalog.installed.cache_clear()


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "vector"], "'vector' gives a tensor of shape (2,) for a loss of D, not one of shape (): tell its"),
        (["--loss", "raising"], "The loss 'raising' of misbehaving 1.0 failed: ZeroDivisionError: oops. Tell its"),
        (["--loss", "penalised", "--set", "loss.how=vector"],
         "'penalised' gives a tensor of shape (2,) for a penalty, not one of shape (): tell its author"),
        (["--loss", "penalised", "--set", "loss.how=in place"],
         "The loss 'penalised' changes the logits or images that it is given: it must copy them first. Tell its"),
        (["--loss", "penalised", "--set", "loss.how=exit"],
         "The penalty of the loss 'penalised' of misbehaving 1.0 failed: SystemExit: 3. Tell its author"),
        (["--loss", "penalised", "--set", "loss.how=forgetful"],
         "The penalty of the loss 'penalised' of misbehaving 1.0 failed: RuntimeError: One of the differentiated"),
        (["--metric", "failing", "--set", "metrics.failing.how=exit"],
         "The metric 'failing' of misbehaving 1.0 failed: SystemExit: 0. Tell its author"),
        (["--loss", "constant"],
         "error: What 'constant' gives for a loss of G does not depend on the logits: it has no gradient. Tell its"),
        (["--arch-d", "flat", "--arch-g", "standard", "--set", "arch_g.width=0.05"],
         "'flat' gives a tensor of shape (2, 1) for logits, not one of shape (2,): tell its author"),
        (["--arch-d", "flat", "--arch-g", "standard", "--set", "arch_g.width=0.05", "--set", "arch_d.weightless=true"],
         "error: The discriminator 'flat' has no weights to train: tell its author."),
        (["--arch-g", "blind", "--arch-d", "standard", "--set", "arch_d.width=0.05"],
         "error: The generator gives NaN or infinite images in evaluation mode: take an earlier checkpoint where its"),
        (["--extractor", "bare"], "'bare' gives NoneType, not Features: tell its author"),
        (["--dataset", "stumbling", "--set", "dataset={}"],
         "The dataset 'stumbling' of misbehaving 1.0 failed: KeyError: 'labels'. Tell its author"),
        (["--dataset", "void", "--set", "dataset={}"], "The data set 'void' opens as NoneType, not Pictures: tell its"),
        (["--dataset", "numbered", "--set", "dataset={}"],
         "The data set 'numbered' has the class names array(['0', '1'], dtype='<U1'), no sequence of str: tell its"),
        (["--dataset", "spelt", "--set", "dataset={}"],
         "The data set 'spelt' has the class names '01', no sequence of str: tell its author"),
        (["--dataset", "worded", "--set", "dataset={}"],
         "The data set 'worded' has the remarks 'take care', no sequence of str: tell its author"),
        (["--dataset", "anonymous", "--set", "dataset={}"],
         "The data set 'anonymous' has the identity None, no text that names its content: tell its author"),
        (["--dataset", "halved", "--set", "dataset={}"],
         "The dataset 'halved' of misbehaving 1.0 failed: ValueError: read gives an array (8, 8, 3) of float64, not"),
    ],
)  # fmt: skip
def test_what_misbehaves_is_named_before_there_is_a_run(
    sngan: Any, tiny: list[str], arguments: list[str], message: str
) -> None:
    usual = tiny[4:] if "--dataset" in arguments else tiny
    if {"flat", "blind"} & {*arguments}:
        usual = [a for a in usual if a != "arch.width=0.05"]
        at = usual.index("--arch")
        usual = usual[:at] + usual[at + 3 :]
    done = sngan("train", *usual, *arguments, "--steps", 1)
    assert done.code == 1, done.err
    assert message in done.err
    assert sngan("runs", "list", "--json").json == []


@pytest.mark.usefixtures("misbehaving")
def test_a_data_set_that_misbehaves_is_named_by_prepare(sngan: Any) -> None:
    done = sngan("datasets", "prepare", "halved")
    assert (done.code, done.err) == (
        1,
        "error: The dataset 'halved' of misbehaving 1.0 failed: ValueError: read gives an array (8, 8, 3) of float64, "
        "not (8, 8, 3) of uint8, for 0. Tell its author what `sngan --debug` shows.\n",
    )


@pytest.mark.usefixtures("misbehaving")
def test_what_fails_in_training_is_named_on_the_screen_and_in_the_record(sngan: Any, tiny: list[str]) -> None:
    done = sngan("train", *tiny, "--steps", 1, "--loss", "penalised", "--set", "loss.how=late")
    said = (
        "The loss 'penalised' of misbehaving 1.0 failed: KeyError: 'third'. Tell its author what `sngan --debug` shows."
    )
    assert (done.code, f"error: {said}\n" in done.err) == (1, True)
    run = sngan("runs", "show", done.out.strip(), "--json").json
    assert (run["status"], run["reason"]) == ("failed", said)


@pytest.mark.usefixtures("misbehaving")
def test_a_penalty_may_ask_for_generated_images_to_be_judged(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    from sngan_cli.composition import compose
    from sngan_cli.config import config_file
    from sngan_cli.engine.device import resolve_device
    from sngan_cli.engine.trial import try_networks

    written = sngan("train", *tiny, "--steps", 1, "--loss", "penalised", "--set", "loss.how=both", "--dry-run").out
    (tmp_path / "config.toml").write_text(written)
    try_networks(compose([config_file(tmp_path / "config.toml")], Catalog.installed()), None, resolve_device("cpu"))


@pytest.mark.usefixtures("misbehaving")
def test_a_metric_that_fails_costs_no_training(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ["metrics.failing.how=result" if argument == "metrics.is.splits=2" else argument for argument in tiny]
    done = sngan("train", *usual, "--steps", 2, "--metric", "failing", "--eval-every", 1)
    failure = "The metric 'failing' of misbehaving 1.0 failed: KeyError: 'result'. Tell its author what"
    assert done.code == 1
    assert f"warning: step 1: Not scored by failing. {failure}" in done.err
    assert f"warning: step 2: Not scored by failing. {failure}" in done.err
    run_id = done.out.strip()
    last = (
        f"error: Step 2 is not scored by failing, as is said above. Once that is mended, score it with: {{}} {run_id}\n"
    )
    assert done.err.endswith(last.format("sngan train --resume"))
    run = sngan("runs", "show", run_id, "--json").json
    assert [c["step"] for c in run["checkpoints"] if not c["deleted"]] == [2]
    assert (run["status"], run["step"], run["reason"]) == ("finished", 2, None)
    assert [e["step"] for e in run["events"] if e["kind"] == "unscored"] == [1, 2]
    assert re.search(rf"^ +score it +sngan train --resume {run_id}$", sngan("runs", "show", run_id).out, re.MULTILINE)
    again = sngan("train", "--resume", run_id)  # it fails again, and what is trained is finished still
    assert (again.code, again.err.endswith(last.format("sngan train --resume"))) == (1, True)
    assert sngan("runs", "show", run_id, "--json").json["status"] == "finished"
    mended = sys.modules["misbehaving_plugin"].Sum
    monkeypatch.setattr(mended, "result", lambda self: (3.5, None))
    ending = sngan("evaluate", run_id, "--metric", "failing", "--set", "metrics.failing.how=exit")
    assert (ending.code, ending.out) == (1, "")
    assert "error: The metric 'failing' of misbehaving 1.0 failed: SystemExit: 0. Tell its author" in ending.err
    scored = sngan("train", "--resume", run_id)
    assert (scored.code, "step 2: failing = 3.500" in scored.err) == (0, True)
    assert "score it" not in sngan("runs", "show", run_id).out
    refused = sngan("train", "--resume", run_id)
    assert (refused.code, f"Run {run_id} is already at step 2 of 2" in refused.err) == (2, True)


@pytest.mark.usefixtures("misbehaving")
def test_a_metric_that_fails_costs_the_others_no_score(
    sngan: Any, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = sngan("train", *tiny, "--steps", 2, "--metric", "failing,is", "--eval-every", 1)
    failure = "The metric 'failing' of misbehaving 1.0 failed: KeyError: 'result'. Tell its author what"
    assert done.code == 1
    assert f"warning: step 2: Not scored by failing. {failure}" in done.err
    assert "error: Step 2 is not scored by failing, as is said above." in done.err
    run_id = done.out.strip()
    run = sngan("runs", "show", run_id, "--json").json
    assert [(s["metric"], s["step"]) for s in run["scores"]] == [("is", 1), ("is", 2)]
    assert [c["step"] for c in run["checkpoints"] if not c["deleted"]] == [2]  # the best is by the first metric alone

    few = ("--protocol", "quick", "--set", "metrics.is.splits=2", "--device", "cpu")
    monkeypatch.setattr(ScoringProtocol, "of", lambda self, metric: (20, 20, {}))
    done = sngan("evaluate", run_id, "--metric", "failing,is", *few)
    assert done.code == 1
    assert f"error: Not scored: failing of step 2. {failure}" in done.err
    assert [line.split()[2] for line in done.out.splitlines()[1:]] == ["is"]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for k in range(12):
        Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(pictures / f"{k}.png")
    extra = ("--set", "metrics.kid.subset_size=20", "--set", "dataset.images=20")
    done = sngan("evaluate", "--images", pictures, "--metric", "is,failing,kid", "--against", "shapes", *few, *extra)
    assert done.code == 1
    assert "Not scored: kid. A KID over subsets of 20 needs at least as many generated images, not 12:" in done.err
    assert f"Not scored: failing. {failure}" in done.err
    assert [s["metric"] for s in sngan("scores", "list", "--json").json if s.get("pictures")] == ["is"]


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
        ("hinge", 3, "is offered by broken-plugin 2.5 and sngan"),
        ("cross-entrpy", 3, "There is no component 'cross-entrpy'. Did you mean 'cross-entropy'?"),
    ],
)
def test_what_cannot_be_shown_says_why(sngan: Any, name: str, code: int, message: str) -> None:
    done = sngan("plugins", "show", name)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("misbehaving")
def test_options_of_any_type_are_shown(sngan: Any) -> None:
    shown = sngan("plugins", "show", "various", "--json").json["options"]
    assert [(option["name"], option["type"], option["default"]) for option in shown] == [
        ("function", "any", "<built-in function abs>"),
        ("order", "array", [1, 2]),
    ]
    assert "<built-in function abs>" in sngan("plugins", "show", "various").out


@pytest.mark.usefixtures("misbehaving")
def test_a_package_is_checked_beyond_what_cannot_be_made(sngan: Any) -> None:
    done = sngan("plugins", "check", "misbehaving", "--kind", "loss", "--json")
    assert done.code == 1
    of = {
        name: [(row["promise"], row["outcome"]) for row in done.json if row["name"] == name]
        for name in ("various", "penalised", "vector")
    }
    assert of["various"] == [("it is made", "broken")]
    assert of["penalised"] == [("it is made", "unchecked")]
    assert ("both losses are finite scalars", "broken") in of["vector"]
    whys = {row["name"]: row["why"] for row in done.json if row["promise"] == "it is made"}
    assert "loss.function = <built-in function abs> cannot be recorded" in whys["various"]
    assert whys["penalised"] == "'penalised' needs the option 'how': give it with --set loss.how=VALUE."
    alone = sngan("plugins", "check", "penalised")
    assert (alone.code, alone.out, alone.err) == (2, "", f"error: {whys['penalised']}\n")


@pytest.mark.usefixtures("broken")
def test_a_package_whose_metadata_is_gone_is_listed_as_unknown(sngan: Any, tmp_path: Path) -> None:
    (tmp_path / "broken_plugin-2.5.dist-info" / "METADATA").unlink()
    done = sngan("plugins", "list", "--kind", "loss", "--json")
    (found,) = [entry for entry in done.json if entry["name"] == "broken"]
    assert (found["distribution"], found["version"]) == ("unknown", "unknown")
    assert sngan("plugins", "check", "broken").err.startswith("error: The loss 'broken' of unknown unknown cannot be")
    assert sngan("runs", "list").code == 0


def test_a_folder_that_is_not_there_breaks_no_promise(sngan: Any) -> None:
    done = sngan("plugins", "check", "folder", "--data-dir", "nowhere")
    assert (done.code, done.out) == (3, "")
    assert "nowhere does not exist" in done.err


def test_a_name_of_another_kind_is_unknown_to_this_one(sngan: Any) -> None:
    assert "There is no component 'hinge'." in sngan("plugins", "show", "hinge", "--kind", "dataset").err
    assert sngan("plugins", "show", "hinge", "--kind", "loss").out.startswith("loss hinge\nfrom sngan ")
    refused = sngan("plugins", "show", "hinge", "--kind", "losses")
    assert (refused.code, "There is no kind of component 'losses'. Did you mean 'loss'?" in refused.err) == (2, True)

"""What happens between the iterations: scores, checkpoints, pictures, and the ways to end."""

from __future__ import annotations

import gc
import logging
import math
import re
import warnings
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sngan_cli.contracts import Reference
from sngan_cli.engine import checkpoint, evaluation, pictures, quickest, watch
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.loop import Result, Training
from sngan_cli.engine.schedule import rate_at
from sngan_cli.errors import ComponentError, DivergedError, SnganError, UncompiledError, UnscoredError
from sngan_cli.events import (
    CheckpointRemoved,
    CheckpointWritten,
    Compiling,
    Noticed,
    SamplesDrawn,
    Scored,
    Scoring,
    Stepped,
)
from sngan_plugins.losses.hinge import Hinge
from sngan_plugins.metrics.diversity import Diversity


def test_the_last_the_best_and_every_kth_checkpoint_are_kept(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, extractor: Any
) -> None:
    values = iter([1.0, 3.0, 2.0, 1.5, 1.2, 1.1, 1.0, 0.9])
    training = Training(
        tiny(eval_every=1, checkpoint_every=1, keep_every=4), data, tmp_path, listener, extractor=extractor
    )
    remember = training._remember_best

    def scripted(scored: Scored) -> None:
        remember(type(scored)(**{**vars(scored), "value": next(values)}))

    monkeypatch.setattr(training, "_remember_best", scripted)
    training.run()
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [2, 4, 8]
    assert [event.step for event in listener.of(CheckpointWritten)] == list(range(1, 9))
    assert sorted(event.step for event in listener.of(CheckpointRemoved)) == [1, 3, 5, 6, 7]
    assert checkpoint.read_progress(checkpoint.folder_of(tmp_path / "checkpoints", 8)).best_step == 2


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ({"is": [math.nan, 2.0, 2.0]}, (2, 2.0)),
        ({"is": [math.inf, 1.0, 2.0]}, (3, 2.0)),
        ({"fid": [-math.inf, 2.0, 2.0]}, (2, 2.0)),
        ({"fid": [math.nan, math.nan, math.nan]}, (None, None)),
        ({"is": [2.0, 1.0, 1.0], "fid": [3.0, 2.0, 1.0]}, (1, 2.0)),
        ({"fid": [3.0, 2.0, 1.0], "is": [2.0, 1.0, 1.0]}, (3, 1.0)),
    ],
    ids=str,
)
def test_the_best_step_is_the_first_of_the_best_finite_scores_by_the_first_metric(
    tiny: Any,
    data: Any,
    tmp_path: Path,
    listener: Any,
    extractor: Any,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, list[float]],
    best: tuple[int | None, float | None],
) -> None:
    def scripted(batches: Any, metrics: Any, extraction: Any, *, step: int, **given: Any) -> Any:
        for name, metric in metrics.items():
            yield Scored(step, name, values[name][step - 1], None, metric.higher_is_better, "by hand", {})

    monkeypatch.setattr(evaluation, "score", scripted)
    made = tiny(steps=3, eval_every=1, metrics={"fid": {}})
    composition = replace(made, metrics={name: made.metrics[name] for name in values})
    training = Training(composition, data, tmp_path, listener, extractor=extractor)
    training.run()
    assert (training.progress.best_step, training.progress.best_value) == best


def test_checkpoints_of_every_so_many_steps_are_kept(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    Training(tiny(steps=8, checkpoint_every=2, keep_every=4), data, tmp_path / "a", listener).run()
    assert checkpoint.steps_in(tmp_path / "a" / "checkpoints") == [4, 8]
    Training(tiny(steps=8, checkpoint_every=3, keep_every=1), data, tmp_path / "b", listener).run()
    assert checkpoint.steps_in(tmp_path / "b" / "checkpoints") == [3, 6, 8]
    Training(tiny(steps=8, checkpoint_every=3, keep_every=2), data, tmp_path / "c", listener).run()
    assert checkpoint.steps_in(tmp_path / "c" / "checkpoints") == [2, 4, 6, 8]


def test_a_score_carries_its_evidence(tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any) -> None:
    Training(tiny(steps=1, conditional=True), data, tmp_path, listener, extractor=extractor).run()
    (scored,) = listener.of(Scored)
    assert scored.metric == "is"
    assert 1 <= scored.value <= 2
    assert scored.protocol == "shapes-cnn@abababab n=20 splits=2"
    assert scored.evidence["weights_sha256"] == "ab" * 32
    assert scored.evidence["images"] == 20
    assert scored.evidence["splits"] == 2
    assert scored.evidence["generator_weights"] == "raw"
    assert scored.evidence["labels"] == "even"
    assert scored.evidence["checkpoint"] == "while training"


def test_scoring_leaves_training_as_it_was(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the loss draws random numbers, and a score begins them anew."""

    class Seeding(type(extractor)):  # type: ignore[misc]
        def __call__(self, images: torch.Tensor) -> Any:
            torch.manual_seed(0)
            return super().__call__(images)

    of_g = Hinge.generator
    monkeypatch.setattr(Hinge, "generator", lambda self, fake: of_g(self, fake * torch.rand(len(fake))))
    plain = Training(tiny(), data, tmp_path / "a", listener)
    plain.run()
    scored = Training(tiny(eval_every=1, checkpoint_every=2), data, tmp_path / "b", listener, extractor=Seeding())
    scored.run()
    for name, tensors in plain.gan.state().items():
        for key, tensor in tensors.items():
            assert torch.equal(scored.gan.state()[name][key], tensor), f"{name}: {key}"


def test_no_steps_at_all_still_score_and_save_the_untrained_generator(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    assert Training(tiny(steps=0), data, tmp_path, listener, extractor=extractor).run() == Result("finished", 0)
    assert [event.step for event in listener.of(Scored)] == [0]
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [0]


@pytest.mark.parametrize(
    ("conditional", "size"), [(True, (10 * 10 + 2, 3 * 10 + 2)), (False, (8 * 10 + 2, 8 * 10 + 2))]
)
def test_a_sheet_of_fixed_latents_is_drawn_with_each_checkpoint(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, conditional: bool, size: tuple[int, int]
) -> None:
    Training(tiny(steps=2, checkpoint_every=1, conditional=conditional), data, tmp_path, listener).run()
    drawn = listener.of(SamplesDrawn)
    assert [event.step for event in drawn] == [1, 2]
    with Image.open(drawn[0].path) as picture:
        assert picture.size == size


class Noisy(nn.Module):
    """Draws the first number of a latent on the left, and one of torch's random numbers on the right."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        halves = torch.stack([z[:, 0], torch.rand(len(z))], 1) * self.weight
        return halves.repeat_interleave(4, 1).view(-1, 1, 1, 8).expand(-1, 3, 8, 8)


def test_all_that_is_random_in_a_run_follows_from_its_seed(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    def drawn(seed: int, again: str = "") -> dict[str, Any]:
        folder = tmp_path / f"{seed}{again}"
        composition = tiny(seed=seed, steps=0, conditional=True)
        training = Training(composition, data, folder, listener, extractor=extractor)
        gan = training.gan
        networks = {"G": gan.generator, "D": gan.discriminator}
        found: dict[str, Any] = {"torch": torch.rand(4), "latents": gan.latents(4)[0]}
        found |= {name: torch.cat([p.flatten() for p in each.parameters()]) for name, each in networks.items()}
        found["real"], _ = training.real.next(4, torch.Generator().manual_seed(0))  # in another order
        gan.generator = Noisy()
        training.run()
        with Image.open(listener.of(SamplesDrawn)[-1].path) as sheet:
            first = torch.from_numpy(np.array(sheet))[2:10, 2:10]
        return found | {"latents of the sheet": first[:, :4], "noise of the sheet": first[:, 4:]}

    one, again, other = drawn(0), drawn(0, "again"), drawn(1)
    assert [name for name in one if not torch.equal(one[name], again[name])] == []
    assert [name for name in one if torch.equal(one[name], other[name])] == []
    scores = listener.of(Scored)
    assert [scored.evidence["seed"] for scored in scores] == [0, 0, 1]
    assert scores[0].value == scores[1].value != scores[2].value


@pytest.mark.parametrize(("weights", "grey"), [("averaged", True), ("raw", False)])
def test_scores_and_sheets_are_of_the_weights_that_the_run_names(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, weights: str, grey: bool
) -> None:
    """The averaged ones are made 0 here, which draw mere grey."""
    shown: list[Tensor] = []

    class Looking(type(extractor)):  # type: ignore[misc]
        def __call__(self, images: Tensor) -> Any:
            shown.append(images)
            return super().__call__(images)

    training = Training(tiny(steps=0, ema=0.9, weights=weights), data, tmp_path, listener, extractor=Looking())
    assert training.gan.averaged is not None
    for parameter in training.gan.averaged.parameters():
        parameter.zero_()
    training.run()
    (scored,), (sheet,) = listener.of(Scored), listener.of(SamplesDrawn)
    assert scored.evidence["generator_weights"] == weights
    assert bool((torch.cat(shown) == 128).all()) == grey
    expected = np.array(pictures.grid(np.full((64, 8, 8, 3), 128, dtype=np.uint8), 8))
    with Image.open(sheet.path) as drawn:
        assert np.array_equal(np.array(drawn), expected) == grey


@pytest.mark.parametrize(("flip", "dequantize"), [(True, False), (False, True)])
def test_real_images_are_mirrored_and_dequantised_where_the_run_says_so(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, flip: bool, dequantize: bool
) -> None:
    """They are black on the left and white on the right."""
    images = np.zeros_like(data.images)
    images[:, :, 4:] = 255
    half = type(data)(images, data.labels)
    training = Training(tiny(flip=flip, dequantize=dequantize), half, tmp_path, listener)
    found, _ = training.real.next(40, training.gan.random)
    white_on_the_left = (found[:, 0, 0, 0] > 0).sum().item()
    assert 0 < white_on_the_left < 40 if flip else white_on_the_left == 0
    assert bool((found.abs() == 1).all()) != dequantize


def test_nan_ends_the_run_and_is_never_saved(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    training = Training(tiny(checkpoint_every=1, log_every=4), data, tmp_path, listener)
    observe = training._observe

    def poison(event: Any) -> None:
        observe(event)
        if isinstance(event, Stepped) and event.step == 2:
            with torch.no_grad():
                next(training.gan.discriminator.parameters()).fill_(float("nan"))

    training._observe = poison
    with pytest.raises(
        DivergedError, match=r"a loss or weight became NaN or infinite by step 2; all was well at step 1"
    ):
        training.run()
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [1]


def test_an_infinite_loss_is_noticed_when_it_is_read(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    training = Training(tiny(log_every=3, lr=1e30), data, tmp_path, listener)
    with pytest.raises(DivergedError, match=r"Training diverged: .* by step [13] .*Try a smaller --lr-d and --lr-g"):
        training.run()


def test_a_loss_that_comes_to_have_no_gradient_is_named(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(tiny(), data, tmp_path, listener)
    of_g, asked = Hinge.generator, count(1)
    monkeypatch.setattr(Hinge, "generator", lambda self, fake: of_g(self, fake.detach() if next(asked) == 3 else fake))
    with pytest.raises(ComponentError, match=r"the loss 'hinge' gives does not depend on the logits at step 3: it has"):
        training.run()


def test_networks_that_cannot_be_differentiated_twice_once_compiled_are_said_to_be_so(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise RuntimeError("torch.compile with aot_autograd does not currently support double backward")

    monkeypatch.setattr(Hinge, "penalty", refuse)
    with pytest.raises(
        UncompiledError, match=r"The penalty of the loss 'hinge' differentiates D twice, .* leave --compile on"
    ):
        Training(tiny(), data, tmp_path, listener).run()


def full_gpu(*given: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.parametrize("full", [full_gpu, lambda *given: torch.empty(10**15)], ids=["GPU", "CPU"])
def test_a_device_without_enough_memory_is_said_with_the_way_out(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, full: Any
) -> None:
    monkeypatch.setattr(quickest, "iteration", full)
    with pytest.raises(SnganError, match=r"ran out of memory at step 1: lower --batch-size and --g-batch-size, or try"):
        Training(tiny(), data, tmp_path, listener).run()


def test_a_score_that_finds_no_memory_does_not_end_the_training(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(extractor), "__call__", full_gpu)
    result = Training(tiny(eval_every=4), data, tmp_path, listener, extractor=extractor).run()
    assert (result.status, result.step) == ("finished", 8)
    assert [(noticed.step, noticed.kind) for noticed in listener.of(Noticed)] == [(4, "unscored"), (8, "unscored")]
    said = listener.of(Noticed)[1].message
    assert re.fullmatch(r"Not scored by is\. The device ran out of memory .* --device cpu`\.", said)


def test_a_pinned_discriminator_is_said_once(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    training = Training(tiny(steps=60, lr_d=1e-12, lr_g=1e-12, n_dis=1, norm="none"), data, tmp_path, listener)
    with torch.no_grad():  # a last layer of zeros makes D blind: every logit is 0
        for name, parameter in training.gan.discriminator.named_parameters():
            if parameter.shape[0] == 1 or name.endswith("bias"):
                parameter.zero_()
    training.run()
    (noticed,) = listener.of(Noticed)
    assert (noticed.step, noticed.kind) == (50, "beaten")
    assert "for 50 readings its loss has been no better than 2.000" in noticed.message
    assert "(2.000 at the last)" in noticed.message
    assert "`sngan runs doctor`" in noticed.message


@pytest.mark.parametrize(
    ("loss_d", "blind", "noticed"),
    [
        (lambda k: 4.5, 2.0, [50]),  # D does worse than blind
        (lambda k: 2.5 if k % 49 else 1.9, 2.0, []),  # it tells one batch in 49 apart
        (lambda k: 1.0 if k == 60 else 2.5, 2.0, [50, 110]),  # once each time that it sets in
        (lambda k: 1.99, 2.0, []),
        (lambda k: 1.4, 2 * math.log(2), [50]),
        (lambda k: 0.5, 0.0, []),  # a loss that has no such value above 0
        (lambda k: 0.5, -1.0, []),
    ],
)
def test_a_loss_of_d_that_is_no_better_than_blind_is_noticed(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, loss_d: Any, blind: float, noticed: list[int]
) -> None:
    monkeypatch.setattr(watch, "blind_loss", lambda loss: blind)
    keeper = watch.Watch(Gan.build(tiny(), None, World(torch.device("cpu"))))
    said = [notice for k in range(1, 121) for notice in keeper.notices(k, {"loss_d": loss_d(k), "loss_g": 0.0})]
    assert [notice.step for notice in said] == noticed


def test_a_stop_during_a_score_gives_the_score_up_and_saves(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    stopping = False

    class Slow(type(extractor)):  # type: ignore[misc]
        def __call__(self, images: torch.Tensor) -> Any:
            nonlocal stopping
            stopping = True
            return super().__call__(images)

    training = Training(
        tiny(eval_every=2, eval_samples=200), data, tmp_path, listener, extractor=Slow(), stop=lambda: stopping
    )
    training.run()
    assert not listener.of(Scored)
    assert [event.kind for event in listener.of(Noticed)] == ["unscored"]
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [training.progress.step]


@pytest.mark.parametrize("at", [2, 8])
def test_a_resumed_run_that_stops_in_the_score_it_owes_owes_it_still(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, at: int
) -> None:
    """And nothing is compiled for steps that are not made."""
    settings = tiny(eval_every=2, keep_every=2, compile="on")
    unscored = Training(tiny(steps=at, keep_every=2), data, tmp_path, listener)
    unscored.run()
    for _ in range(2):
        resumed = Training(settings, data, tmp_path, listener, extractor=extractor, stop=lambda: True)
        resumed.resume(checkpoint.folder_of(tmp_path / "checkpoints", at))
        assert resumed.run() == Result("interrupted", at)
        assert resumed.progress.kept == tuple(range(2, at + 1, 2))
    assert [notice.message for notice in listener.of(Noticed)] == ["Not scored: the run was asked to stop."] * 2
    assert not listener.of(Compiling)


@pytest.mark.parametrize("error", [KeyError("late"), TypeError("no score")])
def test_a_score_that_fails_costs_no_training_and_is_told(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, error: Exception
) -> None:
    class Failing(type(extractor)):  # type: ignore[misc]
        broken = True

        def __call__(self, images: torch.Tensor) -> Any:
            if self.broken:
                raise error
            return super().__call__(images)

    failing = Failing()
    settings = tiny(steps=4, eval_every=2, checkpoint_every=1)
    end = Training(settings, data, tmp_path, listener, extractor=failing).run()
    assert (end.status, end.step) == ("finished", 4)
    assert str(end.unscored) == (
        "Step 4 is not scored by is, as is said above. Once that is mended, score it with: sngan train --resume "
        f"{tmp_path.name}"
    )
    assert end.unscored.__cause__ is error
    assert [(event.step, event.kind) for event in listener.of(Noticed)] == [(2, "unscored"), (4, "unscored")]
    said = listener.of(Noticed)[1].message
    assert re.fullmatch(rf"Not scored by is\. {type(error).__name__}: .*\. `sngan --debug` shows where\.", said)
    assert [event.step for event in listener.of(CheckpointWritten)] == [1, 2, 3, 4]
    failing.broken = False
    again = Training(settings, data, tmp_path, listener, extractor=failing)
    again.resume(checkpoint.folder_of(tmp_path / "checkpoints", 4))
    assert again.run() == Result("finished", 4)
    assert [event.step for event in listener.of(Scored)] == [4]


@pytest.mark.parametrize("given", ["vector", "number", "nothing"])
@pytest.mark.parametrize("loss", ["discriminator", "generator"])
def test_a_loss_that_comes_to_be_no_scalar_is_named(
    tiny: Any,
    data: Any,
    tmp_path: Path,
    listener: Any,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    given: str,
) -> None:
    training = Training(tiny(), data, tmp_path, listener)
    found = {"vector": torch.ones(2, requires_grad=True), "number": 0.5, "nothing": None}[given]
    monkeypatch.setattr(Hinge, loss, lambda *arguments: found)
    with pytest.raises(ComponentError, match=r"What the loss 'hinge' gives at step 1 is no scalar\. Tell its author\."):
        training.run()


def test_linear_decay_falls_to_nothing_over_the_run(tiny: Any) -> None:
    config = tiny(lr_decay="linear").config
    assert [rate_at(config, step) for step in (1, 5, 8)] == [1.0, 0.5, 0.125]
    assert rate_at(tiny().config, 8) == 1.0


def test_metrics_that_compare_are_given_the_data(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    composition = tiny(steps=2, eval_every=1, conditional=True, metrics={"diversity": {}})
    Training(composition, data, tmp_path, listener, extractor=extractor).run()
    scored = [event for event in listener.of(Scored) if event.metric == "diversity"]
    assert [event.step for event in scored] == [1, 2]
    assert scored[0].protocol == "shapes-cnn@abababab n=20 distance=euclidean real=10@00000000"
    assert scored[0].evidence["real"] == 10
    classes = scored[0].evidence["classes"]
    assert list(classes) == ["ant", "bee", "cat"]
    assert all(value > 0 for value in classes.values())
    # Real images are looked at once: twenty generated ones of each score, and ten of the data.
    assert [(event.done, event.total) for event in listener.of(Scoring)] == [(10, 10), (20, 20), (20, 20)]


def test_as_many_real_images_are_looked_at_as_are_drawn_and_their_features_are_kept(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    composition = tiny(steps=0, eval_samples=6, metrics={"diversity": {}})
    for name in ("first", "second"):
        training = Training(
            composition, data, tmp_path / name, listener, extractor=extractor, cache=tmp_path / "features"
        )
        training.run()
    first, second = (scored for scored in listener.of(Scored) if scored.metric == "diversity")
    assert first == second
    assert (first.evidence["real"], first.evidence["data_images"]) == (6, 10)
    assert [(event.done, event.total) for event in listener.of(Scoring)] == [(6, 6)] * 3


def test_a_metric_that_has_failed_of_the_data_is_tried_again(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = iter([True])

    def hindered(metric: Diversity, images: int) -> Reference | None:
        if next(refuse, False):
            raise MemoryError("no room")
        return reference(metric, images)

    reference = Diversity.reference
    monkeypatch.setattr(Diversity, "reference", hindered)
    composition = tiny(steps=3, eval_every=1, conditional=True, metrics={"is": {}, "diversity": {}})
    with suppress(UnscoredError):
        Training(composition, data, tmp_path, listener, extractor=extractor).run()
    assert [event.step for event in listener.of(Scored) if event.metric == "diversity"] == [2, 3]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch by itself, on Python 3.13
def test_advice_and_remarks_of_the_compiler_are_not_passed_on(
    tiny: Any, data: Any, tmp_path: Path, listener: Any
) -> None:
    remarks = logging.getLogger("torch.utils.cpp_extension")  # it sees no GPU
    remarks.setLevel(logging.NOTSET)
    Training(tiny(), data, tmp_path, listener).gan.compile()  # nothing is compiled before the first step
    warnings.warn(
        "TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled.", stacklevel=1
    )
    assert not remarks.isEnabledFor(logging.WARNING)


def test_networks_do_not_outlive_their_training(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    training = Training(tiny(steps=1, conditional=True, norm_g="spectral", ema=0.9), data, tmp_path, listener)
    training.run()
    networks = {"G": training.gan.generator, "D": training.gan.discriminator, "average": training.gan.averaged}
    layers = {f"{name}.{at}": ref(layer) for name, each in networks.items() for at, layer in each.named_modules()}
    del training, networks
    gc.collect()
    assert [name for name, layer in layers.items() if layer() is not None] == []

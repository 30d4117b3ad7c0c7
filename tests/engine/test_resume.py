"""Killed and resumed equals uninterrupted, bit for bit on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.engine import checkpoint
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan, try_checkpoint
from sngan_cli.engine.loop import Result, Training
from sngan_cli.errors import CheckpointError
from sngan_cli.events import Noticed, Scored, Stepped


def losses(listener: Any) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, dict(event.losses)) for event in listener.of(Stepped) if event.losses]


VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "conditional": {"conditional": True, "flip": True},
    "seed": {"fakes": "reused", "g_batch_size": 4, "ema": 0.0, "dequantize": False},
    "spectral G, linear decay": {"norm_g": "spectral", "lr_decay": "linear"},
    "batch norm in D": {"norm": "batch", "conditional": True},
    "bf16": {"precision": "bf16", "norm_g": "spectral"},
    "standard": {"arch": {"name": "standard", "width": 0.05}, "loss": "cross-entropy"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_four_and_four_steps_equal_eight(
    variant: str, tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any
) -> None:
    settings = {"checkpoint_every": 4, "eval_every": 4, **VARIANTS[variant]}
    whole = Training(tiny(**settings), data, tmp_path / "whole", listener, extractor=extractor)
    whole.run()

    first = type(listener)()
    half = Training(
        tiny(**settings), data, tmp_path / "halves", first, extractor=extractor, stop=lambda: half.progress.step == 4
    )
    assert half.run() == Result("interrupted", 4)
    torch.manual_seed(123)  # what a new process would find is not what the run left
    second = type(listener)()
    rest = Training(tiny(**settings), data, tmp_path / "halves", second, extractor=extractor)
    rest.resume(checkpoint.folder_of(tmp_path / "halves" / "checkpoints", 4))
    assert rest.run() == Result("finished", 8)

    assert losses(first) + losses(second) == losses(listener)
    assert first.of(Scored) + second.of(Scored) == listener.of(Scored)
    assert [event.step for event in second.of(Scored)] == [4, 8]
    assert rest.real.drawn == whole.real.drawn == 8 * 2 * 4
    expected, found = whole.gan.state(), rest.gan.state()
    assert found.keys() == expected.keys()
    for name, tensors in expected.items():
        assert found[name].keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(found[name][key], tensor), f"{name}: {key}"
    assert torch.equal(whole.real.next(4, whole.gan.random)[0], rest.real.next(4, rest.gan.random)[0])


def test_what_is_written_is_what_is_read(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    training = Training(tiny(conditional=True, steps=2), data, tmp_path, listener)
    training.run()
    folder = checkpoint.folder_of(tmp_path / "checkpoints", 2)
    checkpoint.verify(folder, None)
    assert checkpoint.read_progress(folder).class_names == ("ant", "bee", "cat")
    read = checkpoint.read_state(folder)
    for name, tensors in training.gan.state().items():
        for key, tensor in tensors.items():
            assert torch.equal(read[name][key], tensor), f"{name}: {key}"


def test_a_run_that_moved_to_another_kind_of_device_has_random_numbers_of_its_seed_and_step(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is there: one's random state is put beside the CPU's."""
    Training(tiny(checkpoint_every=2, keep_every=2, steps=4), data, tmp_path, listener).run()

    def with_a_gpus(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
        state = read_state(folder)
        state["random"]["cuda"] = torch.zeros(16, dtype=torch.uint8)
        return state

    read_state = checkpoint.read_state
    monkeypatch.setattr(checkpoint, "read_state", with_a_gpus)
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []
    for seed, step in ((0, 4), (0, 2), (0, 2), (1, 2)):
        training = Training(tiny(seed=seed), data, tmp_path, listener)
        torch.manual_seed(len(drawn))
        training.resume(checkpoint.folder_of(tmp_path / "checkpoints", step))
        drawn.append((training.gan.latents(4)[0], torch.rand(4)))
    assert [(event.step, event.kind) for event in listener.of(Noticed)] == [(s, "moved") for s in (4, 2, 2, 2)]
    for of_another_step, first, again, of_another_seed in zip(*drawn, strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, of_another_step)
        assert not torch.equal(first, of_another_seed)


def test_another_data_set_is_refused(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    Training(tiny(steps=1), data, tmp_path, listener).run()
    other = type(data)(data.images, data.labels, data.class_names, "f" * 64)
    training = Training(tiny(steps=2), other, tmp_path, listener)
    with pytest.raises(CheckpointError, match=r"pixels hash to ffffffffffff\.\.\., the run's to 000000000000"):
        training.resume(checkpoint.folder_of(tmp_path / "checkpoints", 1))


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        (["to_rgb.bias"], "1 tensor of one is not"),
        (["to_rgb.bias", "to_rgb.weight"], "2 tensors of one are not"),
    ],
)
def test_how_the_network_of_a_checkpoint_differs_is_said(tiny: Any, removed: list[str], said: str) -> None:
    gan = Gan.build(tiny(arch={"name": "standard", "width": 0.05}), None, World(torch.device("cpu")))
    state = gan.state()
    for name in removed:
        del state["generator"][name]
    with pytest.raises(
        CheckpointError, match=rf"{said} in the other or of another shape, 'to_rgb\.bias' to begin with"
    ):
        gan.load_state(state)


@pytest.mark.parametrize("network", ["norm", "norm_g"])
def test_a_checkpoint_is_tried_on_both_networks(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, network: str
) -> None:
    Training(tiny(steps=0), data, tmp_path, listener).run()
    folder = checkpoint.folder_of(tmp_path / "checkpoints", 0)
    try_checkpoint(tiny(), None, folder)
    with pytest.raises(CheckpointError, match="The checkpoint is of another network than"):
        try_checkpoint(tiny(**{network: "weight"}), None, folder)

"""Killed and resumed equals uninterrupted, bit for bit on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.engine import checkpoint
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.loop import Result, Training
from sngan_cli.errors import CheckpointError
from sngan_cli.events import Scored, Stepped


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

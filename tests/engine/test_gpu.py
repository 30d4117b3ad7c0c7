"""The same training on a CUDA device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.engine import checkpoint
from sngan_cli.engine.loop import Result, Training

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_gpu_trains_saves_and_resumes(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, extractor: Any, precision: str
) -> None:
    settings = {"device": "cuda", "precision": precision, "conditional": True, "checkpoint_every": 4}
    training = Training(tiny(**settings), data, tmp_path, listener, stop=lambda: training.progress.step == 4)
    assert training.run() == Result("interrupted", 4)
    rest = Training(tiny(**settings), data, tmp_path, listener, extractor=extractor)
    rest.resume(checkpoint.folder_of(tmp_path / "checkpoints", 4))
    assert torch.equal(rest.gan.random.get_state(), training.gan.random.get_state())
    assert rest.run() == Result("finished", 8)


def test_the_first_step_equals_the_cpu_s(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        training = Training(tiny(device=device, dequantize=False), data, tmp_path / device, listener)
        x, _ = training.real.next(4, training.gan.random)
        losses[device] = training.gan.discriminator(x, None).detach().cpu()
    torch.testing.assert_close(losses["cuda"], losses["cpu"], rtol=1e-4, atol=1e-4)


def test_a_data_set_that_does_not_fit_streams_from_the_host(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 1))
    training = Training(tiny(device="cuda", steps=2), data, tmp_path, listener)
    assert training.real._home.type == "cpu"
    assert training.run() == Result("finished", 2)

"""The same training on a CUDA device."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch

from sngan_cli.engine import checkpoint, quickest, step
from sngan_cli.engine.device import meanwhile
from sngan_cli.engine.loop import Result, Training
from sngan_cli.events import Compiling, Noticed, Stepped

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


GRAPHED: dict[str, Any] = {"device": "cuda", "precision": "fp32", "conditional": True, "ema": 0.9, "flip": True}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"precision": "bf16"}, {"fakes": "reused", "g_batch_size": 8}, {"log_every": 3}], ids=str
)
def test_a_graph_trains_as_the_plain_step_does(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, streams: bool
) -> None:
    """Up to rounding, of which Adam makes much: losses of a few steps are near, and random numbers the same."""
    monkeypatch.setattr(quickest, "LEAST", 1)
    if streams:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 1))
    trained = {}
    for compile_ in ("off", "auto"):
        trained[compile_] = Training(tiny(**GRAPHED | settings, compile=compile_), data, tmp_path / compile_, listener)
        assert trained[compile_].run() == Result("finished", 8)
    assert not [event for event in listener.events if isinstance(event, Noticed)]
    losses = [event.losses for event in listener.events if isinstance(event, Stepped) and event.losses]
    half = len(losses) // 2
    for plain, replayed in zip(losses[:half], losses[half:], strict=True):
        assert replayed == pytest.approx(plain, rel=0.05, abs=0.05)
    plain, replayed = (training.gan.state() for training in trained.values())
    assert torch.equal(replayed["random"]["gan"], plain["random"]["gan"])
    assert {name: t.item() for name, t in plain["optimizer_d"].items() if name.endswith(".step")} == {
        name: t.item() for name, t in replayed["optimizer_d"].items() if name.endswith(".step")
    }


def test_power_iterations_beside_the_drawing_are_those_of_one_after_the_other(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for name, device in (("beside", torch.device("cuda")), ("before", torch.device("cpu"))):
        monkeypatch.setattr(step, "meanwhile", lambda _, work, device=device: meanwhile(device, work))
        training = Training(tiny(**GRAPHED, compile="off", steps=2), data, tmp_path / name, listener)
        training.run()
        states.append(training.gan.state()["discriminator"])
    vectors = [name for name in states[0] if name.endswith((".u", ".v"))]
    assert vectors
    for name in vectors:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0.05, atol=0.005)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        *({"arch": {"name": name, "width": 0.05}} for name in ("standard", "resnet-postact")),
        *({"norm": name, "norm_g": name} for name in ("spectral", "none", "batch", "layer", "instance", "weight")),
        {"loss": "cross-entropy", "precision": "tf32"},
    ],
    ids=str,
)
def test_steps_of_every_component_are_replayed(
    tiny: Any,
    data: Any,
    tmp_path: Path,
    listener: Any,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    conditional: bool,
) -> None:
    monkeypatch.setattr(quickest, "LEAST", 1)
    settings = GRAPHED | {"conditional": conditional, "steps": 2} | settings
    assert Training(tiny(**settings), data, tmp_path, listener).run() == Result("finished", 2)
    assert not [event for event in listener.events if isinstance(event, Noticed)]


def test_a_graph_resumes_from_its_checkpoint(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickest, "LEAST", 1)
    settings = GRAPHED | {"checkpoint_every": 4, "keep_every": 1}
    whole = Training(tiny(**settings), data, tmp_path / "whole", listener)
    assert whole.run() == Result("finished", 8)
    rest = Training(tiny(**settings), data, tmp_path / "rest", listener)
    rest.resume(checkpoint.folder_of(tmp_path / "whole" / "checkpoints", 4))
    assert rest.run() == Result("finished", 8)
    assert torch.equal(rest.gan.random.get_state(), whole.gan.random.get_state())
    assert rest.real.drawn == whole.real.drawn


@pytest.mark.parametrize("early", [True, False])
def test_a_step_that_cannot_be_a_graph_trains_without(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Noticed before it is recorded, or while it is: random numbers go on either way."""
    monkeypatch.setattr(quickest, "LEAST", 1)
    if not early:
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    composition = tiny(**GRAPHED)

    class Peeking(type(composition.loss), contract=1):  # type: ignore[misc]
        def generator(self, fake_logits: torch.Tensor) -> torch.Tensor:
            assert fake_logits.mean().item() < 1e9
            return super().generator(fake_logits)  # type: ignore[no-any-return]

    training = Training(composition, data, tmp_path, listener)
    training.gan.loss = Peeking()
    assert training.run() == Result("finished", 8)
    (said,) = [event for event in listener.events if isinstance(event, Noticed)]
    assert said.kind == "unrecorded"
    plain = Training(tiny(**GRAPHED, compile="off"), data, tmp_path / "plain", listener)
    plain.run()
    assert torch.equal(training.gan.random.get_state(), plain.gan.random.get_state())
    for name, tensor in plain.gan.discriminator.state_dict().items():
        torch.testing.assert_close(training.gan.discriminator.state_dict()[name], tensor, rtol=0.05, atol=0.005)


@pytest.mark.filterwarnings("default")  # the compiler looks at attributes that warn
@pytest.mark.parametrize("compile_", ["on", "auto"])
def test_a_graph_of_compiled_networks(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, compile_: str
) -> None:
    monkeypatch.setattr(quickest, "LEAST", 1)
    monkeypatch.setattr(quickest, "LEAST_COMPILED", 1)
    training = Training(tiny(**GRAPHED, compile=compile_), data, tmp_path, listener)
    assert training.run() == Result("finished", 8)
    assert [event for event in listener.events if isinstance(event, Compiling)] == [Compiling(0)]
    assert not [event for event in listener.events if isinstance(event, Noticed)]


def test_networks_of_an_earlier_run_leave_no_memory(tiny: Any, data: Any, tmp_path: Path, listener: Any) -> None:
    gc.disable()
    try:
        first = Training(tiny(device="cuda", steps=1), data, tmp_path, listener)
        first.run()
        weight = ref(next(first.gan.discriminator.parameters()))
        del first
        Training(tiny(device="cuda", steps=1), data, tmp_path, listener)
        assert weight() is None
    finally:
        gc.enable()

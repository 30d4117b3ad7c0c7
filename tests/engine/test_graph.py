"""A recorded iteration against the plain one.

Nothing here needs a GPU: `Tape` records every operation of torch with the tensors that it read and wrote, and replays
it on the same ones, as a CUDA graph does with its kernels. So what is not in memory that stays where it is, what is a
number of Python's, and what waits for the device shows up as it would there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sngan_cli.engine import graph, quickest
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.distributed import World
from sngan_cli.engine.gan import Gan, constraints
from sngan_cli.engine.graph import Iteration, UnrecordableError, recorded
from sngan_cli.engine.loop import Result, Training
from sngan_cli.engine.schedule import averaging_at
from sngan_cli.engine.step import Losses, iteration
from sngan_cli.errors import UncompiledError
from sngan_cli.events import Compiling, Noticed
from sngan_plugins.losses.hinge import Hinge

CPU = torch.device("cpu")

VARIANTS: list[dict[str, Any]] = [
    {},
    {"conditional": True, "flip": True, "ema": 0.9, "arch": "resnet-preact", "lr_decay": "linear"},
    {"fakes": "reused", "g_batch_size": 8, "dequantize": False},
    {"norm_g": "spectral", "precision": "bf16", "ema": 0.5},
    {"norm": "batch", "conditional": True},
]


class Tape(TorchDispatchMode):
    """Records operations. Unlike a GPU it does them while it records."""

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("the host waits for the device")
        out = func(*args, **(kwargs or {}))
        self._done.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        """Do everything again, with the same tensors."""
        for func, args, kwargs, out in self._done:
            read = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
            with torch._C._AutoDispatchBelowAutograd():  # kernels know of no gradients
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.untyped_storage().data_ptr() not in read:
                        old.copy_(new)


class Taping:
    """A recorder with a tape in place of a GPU."""

    def rehearse(self, work: Iteration, *, strictly: bool) -> Losses:
        if not strictly:
            return work()
        with Tape():
            return work()

    def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
        with Tape() as tape:
            losses = work()
        return self.replaying(tape), losses

    def replaying(self, tape: Tape) -> Callable[[], None]:
        return tape.replay


def build(composition: Any, data: Any, **settings: Any) -> tuple[Gan, ImageStream]:
    config = composition.config
    gan = Gan.build(composition, len(data.class_names) if config.conditional else None, World(CPU))
    stream = {"device": CPU, "seed": 0, "flip": config.flip, "dequantize": config.dequantize}
    return gan, ImageStream(data.images, data.labels, **stream, **settings)


def everything(gan: Gan) -> dict[str, Tensor]:
    return {f"{file}.{name}": t.clone() for file, ts in gan.state().items() for name, t in ts.items()}


@pytest.fixture(autouse=True)
def recording_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape does while it records; a GPU does not, so that what is replayed first begins from the same place."""
    original = graph._recorded

    def undone(gan: Gan, work: Iteration, recorder: Any) -> Any:
        with gan.rehearsal():
            return original(gan, work, recorder)

    monkeypatch.setattr(graph, "_recorded", undone)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("budget", [None, 1], ids=["kept", "streamed"])
def test_replaying_is_training(tiny: Any, data: Any, settings: dict[str, Any], budget: int | None) -> None:
    composition = tiny(steps=8, **settings)
    config = composition.config
    (plain, for_plain), (gan, real) = build(composition, data), build(composition, data, budget=budget)
    before = everything(gan)
    replayed = recorded(gan, real, config, Taping())
    assert real.drawn == 0
    assert all(torch.equal(t, before[name]) for name, t in everything(gan).items())  # recording leaves no trace
    for step in range(1, 5):
        plain.schedule(config, step)
        gan.schedule(config, step)
        expected, found = iteration(plain, for_plain, config), replayed()
        assert found.discriminator == expected.discriminator
        assert found.generator == expected.generator
        assert real.drawn == for_plain.drawn
    wanted = everything(plain)
    for name, tensor in everything(gan).items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_step_that_waits_for_the_device_is_not_recorded(tiny: Any, data: Any) -> None:
    composition = tiny()
    gan, real = build(composition, data)

    class Peeking(type(composition.loss), contract=1):  # type: ignore[misc]
        def generator(self, fake_logits: Tensor) -> Tensor:
            assert fake_logits.mean().item() < 1e9
            return super().generator(fake_logits)  # type: ignore[no-any-return]

    gan.loss = Peeking()
    before = everything(gan)
    with pytest.raises(UnrecordableError, match="the host waits for the device"):
        recorded(gan, real, composition.config, Taping())
    assert real.drawn == 0
    assert all(torch.equal(t, before[name]) for name, t in everything(gan).items())
    assert gan.optimizer_g.param_groups[0]["capturable"] is False


def test_a_graph_that_does_something_else_is_not_used(tiny: Any, data: Any) -> None:
    class Forgetful(Taping):
        def replaying(self, tape: Tape) -> Callable[[], None]:
            del tape._done[: len(tape._done) // 2]  # D's updates
            return tape.replay

    composition = tiny(arch="resnet-preact")
    gan, real = build(composition, data)
    before = everything(gan)
    with pytest.raises(UnrecordableError, match=r"replayed, it moves the \w+ elsewhere: "):
        recorded(gan, real, composition.config, Forgetful())
    assert all(torch.equal(t, before[name]) for name, t in everything(gan).items())


def test_an_update_of_five_that_is_left_out_is_noticed(tiny: Any, data: Any) -> None:
    composition = tiny(n_dis=5)
    gan, real = build(composition, data)
    updates = 0

    class Skipping(Taping):
        def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
            step, seen = gan.optimizer_d.step, 0

            def four_of_five(closure: Any = None) -> Any:
                nonlocal seen, updates
                seen += 1
                updates += 1
                return None if seen == 3 else step()

            gan.optimizer_d.step = four_of_five  # type: ignore[assignment]
            try:
                return super().record(work)
            finally:
                gan.optimizer_d.step = step  # type: ignore[method-assign]

    with pytest.raises(UnrecordableError, match=r"replayed, it moves the \w+ elsewhere: "):
        recorded(gan, real, composition.config, Skipping())
    assert updates == 5


def test_state_that_is_put_elsewhere_is_noticed(tiny: Any, data: Any) -> None:
    """A constraint that re-binds its singular vectors: a graph would read the old ones for ever."""
    composition = tiny()
    gan, real = build(composition, data)
    constraint = next(constraints(gan.discriminator))
    advance = constraint.advance

    def rebinding() -> None:
        constraint.u = constraint.u.clone()  # type: ignore[attr-defined]
        advance()

    constraint.advance = rebinding  # type: ignore[method-assign]
    with pytest.raises(UnrecordableError, match="it puts new tensors in the place of its state"):
        recorded(gan, real, composition.config, Taping())


@pytest.mark.parametrize(
    ("device", "size", "compile_", "iterations", "worth"),
    [
        ("cuda", 1, "auto", 1000, True),
        ("cuda", 1, "on", 1000, True),
        ("cuda", 1, "off", 1000, False),
        ("cuda", 2, "auto", 1000, False),
        ("cuda", 1, "auto", 20, False),
        ("cpu", 1, "auto", 1000, False),
    ],
)
def test_long_runs_on_one_gpu_are_recorded(
    tiny: Any, data: Any, device: str, size: int, compile_: str, iterations: int, worth: bool
) -> None:
    composition = tiny(compile=compile_)
    gan, _ = build(composition, data)
    gan.world = World(torch.device(device), size=size)
    assert quickest.worthwhile(gan, composition.config, iterations) is worth


def test_training_goes_on_by_replaying_and_says_where_it_cannot(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays = 0

    class Counting(Taping):
        def replaying(self, tape: Tape) -> Callable[[], None]:
            def replay() -> None:
                nonlocal replays
                replays += 1
                tape.replay()

            return replay

    plain = Training(tiny(ema=0.9), data, tmp_path / "plain", listener)
    assert plain.run() == Result("finished", 8)
    monkeypatch.setattr(quickest, "worthwhile", lambda gan, config, iterations: iterations == 8)
    monkeypatch.setattr(quickest, "CudaRecorder", lambda device, random: Counting())
    replaying = Training(tiny(ema=0.9), data, tmp_path / "replaying", listener)
    assert replaying.run() == Result("finished", 8)
    assert replays == 1 + 8  # once to compare
    wanted = everything(plain.gan)
    assert all(torch.equal(t, wanted[name]) for name, t in everything(replaying.gan).items())

    def refuse(*given: Any) -> None:
        raise RuntimeError("replayed, it is another")

    monkeypatch.setattr(graph, "_compare", refuse)
    failing = Training(tiny(ema=0.9), data, tmp_path / "failing", listener)
    assert failing.run() == Result("finished", 8)
    (said,) = [e for e in listener.events if isinstance(e, Noticed)]
    assert said.message.startswith("Steps are launched kernel by kernel, and not replayed as one CUDA graph: replayed,")
    assert all(torch.equal(t, wanted[name]) for name, t in everything(failing.gan).items())


def test_random_numbers_go_on_whatever_breaks_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU they are drawn as the recording is told until then. None is there: all of it is made believe."""

    @dataclass
    class Generator:
        state: object = "recorded"

        def graphsafe_get_state(self) -> object:
            return "of its own"

        def graphsafe_set_state(self, state: object) -> None:
            self.state = state

    random, usual = Generator(), Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: Generator())
    monkeypatch.setattr(torch.cuda, "default_generators", (usual,))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(device_index=0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(register_generator_state=lambda random: None))
    monkeypatch.setattr(torch.cuda, "graph", lambda *given, **named: nullcontext())
    recorder = graph.CudaRecorder(torch.device("cuda"), random)  # type: ignore[arg-type]
    monkeypatch.setattr(recorder, "_beside", nullcontext)

    def work() -> Losses:
        raise KeyError("a compiler's error")

    with pytest.raises(RuntimeError, match="a compiler's error"):
        recorder.record(work)
    assert (random.state, usual.state) == ("of its own", "of its own")


@pytest.mark.filterwarnings("default")  # the compiler looks at attributes that warn
def test_networks_of_a_long_run_are_compiled_to_be_recorded_and_go_on_where_they_cannot(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickest, "worthwhile", lambda gan, config, iterations: config.compile != "off")
    monkeypatch.setattr(quickest, "CudaRecorder", lambda device, random: Taping())
    monkeypatch.setattr(quickest, "LEAST_COMPILED", 4)
    seen: list[torch.fx.GraphModule] = []

    def backend(traced: torch.fx.GraphModule, inputs: object) -> Callable[..., Any]:
        seen.append(traced)
        return traced.forward  # type: ignore[no-any-return]

    def failing(traced: torch.fx.GraphModule, inputs: object) -> Callable[..., Any]:
        raise RuntimeError("No working compiler.")

    compile_, said = torch.compile, []
    plain = Training(tiny(compile="off"), data, tmp_path / "plain", listener)
    plain.run()
    for one, settings in (
        (backend, {}), (backend, {"steps": 3}), (backend, {"compile": "off"}),
        (failing, {"compile": "on"}), (failing, {}),
    ):  # fmt: skip
        monkeypatch.setattr(torch, "compile", partial(compile_, backend=one))
        seen.clear()
        listener.events.clear()
        training = Training(tiny(**settings), data, tmp_path / str(len(said)), listener)
        if settings == {"compile": "on"}:
            with pytest.raises(
                UncompiledError, match=r"^The networks cannot be compiled \(No working compiler\): leave"
            ):
                training.run()
        else:
            assert training.run() == Result("finished", training.config.steps or 0)
            assert not [n for n in (training.gan.generator, training.gan.discriminator) if n._compiled_call_impl]
        said.append([e for e in listener.events if isinstance(e, Compiling | Noticed)])
        assert bool(seen) == (one is backend and not settings)
    assert said[:3] == [[Compiling(0)], [], []]
    unrecorded = "Steps are launched kernel by kernel, and not replayed as one CUDA graph: No working compiler."
    assert said[3] == [Compiling(0), Noticed(0, "unrecorded", unrecorded)]
    uncompiled = "The networks are not compiled: No working compiler."
    assert said[4] == [Compiling(0), Noticed(0, "uncompiled", uncompiled)]
    wanted = everything(plain.gan)
    assert all(torch.equal(t, wanted[name]) for name, t in everything(training.gan).items())


def test_networks_of_a_penalty_are_not_compiled(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may ask for the gradient of a gradient, which torch does not know of compiled networks."""
    monkeypatch.setattr(quickest, "worthwhile", lambda gan, config, iterations: True)
    monkeypatch.setattr(quickest, "CudaRecorder", lambda device, random: Taping())
    monkeypatch.setattr(quickest, "LEAST_COMPILED", 1)

    class Penalised(Hinge, contract=1):
        def penalty(self, discriminator: Any, real: Tensor, fake: Tensor) -> Tensor:
            x = fake.requires_grad_()
            (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
            return gradient.square().mean()

    training = Training(tiny(), data, tmp_path, listener)
    training.gan.loss = Penalised()
    assert training.run() == Result("finished", 8)
    assert not [event for event in listener.events if isinstance(event, Compiling | Noticed)]


def test_a_recording_that_fails_leaves_no_memory(
    tiny: Any, data: Any, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its error holds, such as the graph, is gone when the cache is emptied."""
    held: list[ReferenceType[Tensor]] = []
    alive: list[bool] = []

    class Failing(Taping):
        def record(self, work: Iteration) -> tuple[Callable[[], None], Losses]:
            memory = torch.zeros(8)
            held.append(ref(memory))
            raise RuntimeError("it cannot be recorded")

    monkeypatch.setattr(quickest, "worthwhile", lambda gan, config, iterations: True)
    monkeypatch.setattr(quickest, "CudaRecorder", lambda device, random: Failing())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.extend(each() is not None for each in held))
    assert Training(tiny(), data, tmp_path, listener).run() == Result("finished", 8)
    assert alive == [False]


def test_the_average_moves_faster_at_first(tiny: Any) -> None:
    config = tiny(ema=0.9).config
    assert [averaging_at(config, step) for step in (1, 90, 1000)] == pytest.approx([9 / 11, 0.1, 0.1])

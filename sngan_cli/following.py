"""A process that trains along with the one that leads the run: it records nothing, scores nothing and says nothing."""

from __future__ import annotations

from pathlib import Path

from sngan_cli.catalog import Catalog, finding_fault
from sngan_cli.composition import compose
from sngan_cli.config import Layer
from sngan_cli.engine.cache import prepare
from sngan_cli.engine.device import settle
from sngan_cli.engine.distributed import World
from sngan_cli.engine.loop import Training
from sngan_cli.engine.processes import Order, following
from sngan_cli.errors import DivergedError, LostProcessError
from sngan_cli.stopping import StopSignal


def follow(cache: Path) -> bool:
    """Train as the leader says, on pictures that it has decoded under `cache`; returns whether all ended well.

    Raises what went wrong here alone; what the leader tells the user as well, such as that training diverged, is not
    told twice.
    """
    try:
        with StopSignal(patient=True) as stop, following(stop) as (world, order):
            _train(world, order, cache, stop)
    except (DivergedError, LostProcessError):
        return False
    return True


def _train(world: World, order: Order, cache: Path, stop: StopSignal) -> None:
    composition = compose([Layer("the leader", order.config.to_dict())], Catalog.installed())
    assert order.config.size is not None  # the leader has resolved it
    settle(world.device)
    _, pictures = composition.open_data(cache / "downloads")
    data = prepare(pictures, order.config.size, cache / "pictures")
    with finding_fault(composition.entries.values()):
        training = Training(composition, data, cache, observer=lambda event: None, stop=stop, world=world)
        if order.checkpoint is not None:
            training.resume(order.checkpoint)
        training.run()

"""Whether components do what their contracts say beyond types: `sngan plugins check`, and a plugin's own tests.

def test_it_keeps_its_promises(tmp_path):
    assert broken(MyLoss(), tmp_path) == []
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from sngan_cli.catalog import Catalog, kind_of
from sngan_cli.conformance import architecture, component, dataset, extractor, loss, metric, normalization
from sngan_cli.conformance.promises import Bench, Promise, UncheckedError, worded
from sngan_cli.contracts import Component, Normalization
from sngan_cli.errors import SnganError

__all__ = ["Outcome", "broken", "check", "promises_of"]

_OF_KIND: dict[str, tuple[Promise, ...]] = {
    "dataset": dataset.PROMISES,
    "architecture": architecture.PROMISES,
    "loss": loss.PROMISES,
    "normalization": normalization.PROMISES,
    "metric": metric.PROMISES,
    "extractor": extractor.PROMISES,
}


@dataclass(frozen=True)
class Outcome:
    """What came of a promise, and why it was not kept."""

    promise: str
    outcome: Literal["kept", "broken", "unchecked"]
    why: str = ""


def promises_of(tried: Component) -> tuple[Promise, ...]:
    """All that a component of this kind promises."""
    return tuple(p for p in (*component.PROMISES, *_OF_KIND[kind_of(tried)]) if p.is_made_by(tried))


def check(
    tried: Component, scratch: Path, data_dir: Path | None = None, *, cache: Path | None = None
) -> Iterator[Outcome]:
    """Try a component at one promise after the other; networks with the normalisations of sngan and of their package.

    `scratch` is a folder for files, and for what is downloaded unless sngan's own `cache` is given; `data_dir` has the
    pictures of a data set. Torch's random state is left alone.
    """
    catalog = Catalog.installed()
    bench = Bench(scratch, cache or scratch, data_dir, _normalizations(catalog, tried), catalog.names("extractor"))
    for promise in promises_of(tried):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            with redirect_stdout(sys.stderr):  # what a component prints is no result
                found = _outcome(promise, tried, bench)
        yield found


def broken(tried: Component, scratch: Path, data_dir: Path | None = None) -> list[str]:
    """The promises that a component breaks, and how; those that cannot be checked here do not count."""
    outcomes = check(tried, scratch, data_dir)
    return [f"{found.promise}: {found.why}" for found in outcomes if found.outcome == "broken"]


def _outcome(promise: Promise, tried: Component, bench: Bench) -> Outcome:
    try:
        promise.try_(tried, bench)
    except UncheckedError as error:
        return Outcome(promise.says, "unchecked", str(error))
    except (Exception, SystemExit) as error:  # third parties' components fail in any way
        return Outcome(promise.says, "broken", worded(error))
    return Outcome(promise.says, "kept")


def _normalizations(catalog: Catalog, tried: Component) -> dict[str, Normalization]:
    """Those of sngan, and of the package that a component is of, which need no options.

    What others have installed says nothing of the component.
    """
    package = _package(type(tried).__module__)
    own = {entry.distribution for entry in catalog.entries() if _package(entry.value) == package}
    found = {}
    for entry in catalog.entries("normalization"):
        if entry.distribution not in {"sngan", *own}:
            continue
        try:
            found[entry.name] = cast("Normalization", catalog.make("normalization", entry.name, {}))
        except SnganError:  # `sngan plugins list` says what is wrong with it
            continue
    return found


def _package(path: str) -> str:
    """The package that a module, or what an entry point names, is in."""
    return path.partition(":")[0].partition(".")[0]

"""A promise of a component's, and how it is found kept or broken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sngan_cli.contracts import Normalization
from sngan_cli.wording import first_line


class BrokenPromiseError(AssertionError):
    """A component does not do what its contract says; `str()` says what it does."""


class UncheckedError(Exception):
    """A promise cannot be checked here; `str()` says what it would take."""


@dataclass(frozen=True)
class Bench:
    """What components are tried with.

    `scratch` is a folder for files, and `cache` the one that has `weights` and `downloads`; `data_dir` is where a data
    set's pictures are, None where there are none; networks are built with each of `normalizations`; `extractors` are
    those that are installed.
    """

    scratch: Path
    cache: Path
    data_dir: Path | None
    normalizations: Mapping[str, Normalization]
    extractors: Collection[str]


@dataclass(frozen=True)
class Promise:
    """What a kind of component does, in words, and a function that raises where one does not."""

    says: str
    try_: Callable[[Any, Bench], None]
    is_made_by: Callable[[Any], bool] = lambda component: True
    """Whether a component makes this promise, which others of its kind may not."""


def expect(kept: object, otherwise: str) -> None:
    """Raise `BrokenPromiseError` unless `kept`, which says what was found `otherwise`."""
    if not kept:
        raise BrokenPromiseError(otherwise)


def expect_equal(found: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
    """Raise unless tensors are what they were, by name."""
    expect(found.keys() == before.keys(), "there are other tensors than before")
    changed = [name for name, tensor in found.items() if not torch.equal(tensor, before[name])]
    expect(not changed, f"{', '.join(changed)} is changed")


@contextmanager
def about(what: str) -> Iterator[None]:
    """Context in which what goes wrong is said to be `what`'s."""
    try:
        yield
    except UncheckedError:
        raise
    except (Exception, SystemExit) as error:  # third parties' components fail in any way
        raise BrokenPromiseError(f"{what}: {worded(error)}") from error


def worded(error: BaseException) -> str:
    """What went wrong, in a line."""
    said = " ".join(str(error).split()) if isinstance(error, AssertionError) else first_line(error)
    return said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"

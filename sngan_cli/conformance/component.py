"""What components of every kind promise."""

from __future__ import annotations

import inspect

from sngan_cli.catalog import not_read_back
from sngan_cli.conformance.promises import Bench, Promise, expect
from sngan_cli.contracts import CONTRACT, Component


def is_documented(component: Component, bench: Bench) -> None:
    """Raise where `sngan plugins show` has nothing to say of it or of an option."""
    expect(component.contract == CONTRACT, f"it is written for contract version {component.contract}, not {CONTRACT}")
    expect(inspect.getdoc(type(component)), "its class has no docstring")
    silent = [name for name, option in type(component).model_fields.items() if not option.description]
    expect(not silent, f"no docstring is below the option {', '.join(silent)}")


def is_read_back(component: Component, bench: Bench) -> None:
    """Raise where its options make another one once they are recorded."""
    amiss = not_read_back(component)
    expect(amiss is None, amiss or "")


PROMISES = (
    Promise("it and each of its options are documented", is_documented),
    Promise("its options are read back as they were recorded", is_read_back),
)

"""Finding components: by name, lazily, and with every way in which that can fail."""

from __future__ import annotations

import operator
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog, Entry, finding_fault
from sngan_cli.contracts import GROUPS, Loss
from sngan_cli.errors import ComponentError, UsageError

PLUGIN = '''
from pydantic import SecretStr, computed_field

from sngan_cli.contracts import Field, Loss, Metric


class Good(Loss, contract=1):
    """A loss."""

    margin: float = 1.0
    """Margin."""

    def discriminator(self, real_logits, fake_logits):
        return real_logits.mean()

    def generator(self, fake_logits):
        return fake_logits.mean()


class Future(Good, contract=7):
    """Written for a contract to come."""


class Past(Good, contract=0):
    """Written for a contract long gone."""


class Silent(Loss):
    """Names no contract."""


class Unfinished(Loss, contract=1):
    """Lacks the generator's loss."""

    def discriminator(self, real_logits, fake_logits):
        return real_logits.mean()


class Plain(Good, contract=1):
    """Needs an option."""

    power: int


class Named(Good, contract=1):
    """Has an option of the name that its own name has in a configuration."""

    name: str = "soft"


class Gappy(Good, contract=1):
    """Has a default that no TOML can tell."""

    gaps: list[int | None] = [1, None]


class Boundless(Good, contract=1):
    """Has a default that nobody could give."""

    limits: list[float] = [0.0, float("nan")]


class Aliased(Good, contract=1):
    """Has an option that is given by another name than it is recorded by."""

    lambda_: float = Field(default=10.0, alias="lambda")


class Strict(Good, contract=1):
    """Has an option that takes no list for a tuple."""

    layers: tuple[int, ...] = Field(default=(1, 2), strict=True)


class Computed(Good, contract=1):
    """Records more than its options."""

    @computed_field
    @property
    def double(self) -> float:
        return 2 * self.margin


class Secret(Good, contract=1):
    """Has an option that is recorded as stars."""

    key: SecretStr = SecretStr("abc")


class Unordered(Good, contract=1):
    """Has a set within an option."""

    parts: dict[str, frozenset[str]] = {"all": frozenset({"b"})}


class Optional(Good, contract=1):
    """Has an option that may be None, and is not by default, and one that is recorded nowhere."""

    clip: float | None = 3.0
    hidden: int = Field(default=2, exclude=True)


NUMBER = 3
'''


def entry(name: str, value: str, distribution: str = "third-party", kind: str = "loss") -> Entry:
    return Entry(kind, name, value, distribution, "1.2")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "catalog_test_plugin.py").write_text(PLUGIN)
    (tmp_path / "catalog_test_broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "catalog_test_plugin", raising=False)
    return "catalog_test_plugin"


def test_a_component_is_imported_only_when_it_is_loaded(module: str) -> None:
    catalog = Catalog([entry("good", f"{module}:Good"), entry("broken", "catalog_test_broken:Loss")])
    assert catalog.names("loss") == ["broken", "good"]
    assert module not in sys.modules
    loaded = catalog.load("loss", "good")
    assert issubclass(loaded.component, Loss)
    assert loaded.entry.distribution == "third-party"
    assert "catalog_test_broken" not in sys.modules


def test_a_broken_plugin_is_named_and_breaks_nothing_else(module: str) -> None:
    catalog = Catalog([entry("good", f"{module}:Good"), entry("broken", "catalog_test_broken:Loss")])
    with pytest.raises(ComponentError, match=r"'broken' of third-party 1\.2 .*a_module_that_is_not_there"):
        catalog.load("loss", "broken")
    assert catalog.make("loss", "good", {}).model_dump() == {"margin": 1.0}


def test_of_a_long_error_the_first_line_is_shown(tmp_path: Path, module: str) -> None:
    (tmp_path / "catalog_test_long.py").write_text("raise TypeError('No such type.\\n\\nSee elsewhere.')\n")
    with pytest.raises(ComponentError, match=r": TypeError: No such type\. Reinstall or remove that package, or tell"):
        Catalog([entry("it", "catalog_test_long:Loss")]).load("loss", "it")


def test_an_entry_point_that_names_no_class_is_said_to(module: str) -> None:
    for value in ("", "a b", ":Loss"):
        with pytest.raises(ComponentError, match=rf"'it' of third-party 1\.2 is registered as {value!r}, no module:Cl"):
            Catalog([entry("it", value)]).load("loss", "it")


def test_a_plugin_that_ends_the_program_is_broken_like_others(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "catalog_test_exit.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ComponentError, match=r"'it' of third-party 1\.2 cannot be imported .*SystemExit: 3"):
        Catalog([entry("it", "catalog_test_exit:Loss")]).load("loss", "it")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Future", r"contract version 7, and this sngan speaks 1: install a newer sngan"),
        ("Past", r"contract version 0, and this sngan speaks 1: install a newer third-party"),
        ("Silent", r"names no contract version: declare `class Silent\(Loss, contract=1\)`"),
        ("Named", r"has an option called 'name', which is .* itself: its author must rename the option of Named\."),
        ("Unfinished", r"lacks generator: see sngan_cli\.contracts\.Loss"),
        ("NUMBER", r"is not a subclass of sngan_cli\.contracts\.Loss"),
    ],
)
def test_what_is_no_component_of_this_version_is_refused(module: str, name: str, message: str) -> None:
    catalog = Catalog([entry("it", f"{module}:{name}")])
    with pytest.raises(ComponentError, match=message):
        catalog.load("loss", "it")


def test_a_class_of_another_kind_is_refused(module: str) -> None:
    catalog = Catalog([entry("it", f"{module}:Good", kind="metric")])
    with pytest.raises(ComponentError, match=r"not a subclass of sngan_cli\.contracts\.Metric"):
        catalog.load("metric", "it")


def test_two_distributions_with_one_name_are_both_named(module: str) -> None:
    catalog = Catalog([entry("good", f"{module}:Good", "one"), entry("good", f"{module}:Good", "two")])
    assert catalog.names("loss") == ["good"]
    with pytest.raises(UsageError, match=r"'good' is offered by one 1\.2 and two 1\.2: uninstall one"):
        catalog.load("loss", "good")


def test_a_misspelt_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"There is no loss 'hnge'\. Did you mean 'hinge'\?"):
        Catalog.installed().load("loss", "hnge")


def test_a_name_near_nothing_gets_the_whole_list() -> None:
    with pytest.raises(UsageError, match=r"There is no loss 'zzzz'\. Known: .*hinge"):
        Catalog.installed().load("loss", "zzzz")


def test_an_entry_point_that_is_not_installed_yet_says_to_reinstall() -> None:
    without = Catalog(e for e in Catalog.installed().entries() if e.name != "hinge")
    with pytest.raises(UsageError, match=r"'hinge' is in pyproject\.toml but not in the installed metadata: reinstall"):
        without.load("loss", "hinge")


def test_an_unknown_option_gets_the_nearest_one(module: str) -> None:
    catalog = Catalog([entry("good", f"{module}:Good")])
    with pytest.raises(UsageError, match=r"'good' has no option 'margn' \(loss\.margn\)\. Did you mean 'margin'\?"):
        catalog.make("loss", "good", {"margn": 2})


def test_an_option_of_the_wrong_type_is_named_with_its_value(module: str) -> None:
    catalog = Catalog([entry("good", f"{module}:Good")])
    with pytest.raises(UsageError, match=r"loss\.margin = 'wide' cannot be used: input should be a valid number"):
        catalog.make("loss", "good", {"margin": "wide"})


def test_a_default_that_could_not_be_given_is_its_author_s(module: str) -> None:
    catalog = Catalog([entry("boundless", f"{module}:Boundless")])
    with pytest.raises(ComponentError) as refused:
        catalog.make("loss", "boundless", {})
    assert str(refused.value) == (
        "loss.limits.1 = nan cannot be used: input should be a finite number. It is the default of 'boundless' in "
        "third-party 1.2: give another with --set loss.limits=VALUE, and tell its author."
    )
    assert catalog.make("loss", "boundless", {"limits": [0.0, 1.0]}).model_dump() == {
        "margin": 1.0,
        "limits": [0.0, 1.0],
    }


def test_what_cannot_be_recorded_is_refused_with_the_option(module: str) -> None:
    catalog = Catalog([entry("gappy", f"{module}:Gappy")])
    with pytest.raises(
        ComponentError, match=r"loss\.gaps = \[1, None\] cannot be recorded: TOML has no .* the default"
    ):
        catalog.make("loss", "gappy", {})
    with pytest.raises(UsageError, match=r"loss\.gaps = \[None\] cannot be recorded: TOML has no such value \(.*\)\.$"):
        catalog.make("loss", "gappy", {"gaps": [None]})
    assert catalog.make("loss", "gappy", {"gaps": [2]}).model_dump() == {"margin": 1.0, "gaps": [2]}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Aliased", {}, "lambda_ is recorded as 10.0, and refused when read back: extra inputs are not permitted"),
        ("Strict", {}, r"layers is recorded as \[1, 2\], and refused when read back: input should be a valid tuple"),
        ("Computed", {}, "double is recorded as 2.0, and refused when read back: extra inputs are not permitted"),
        ("Secret", {}, r"key is recorded as '\*+', and read back as SecretStr\('\*+'\)"),
        ("Unordered", {}, r"parts = {'all': .*} is a set, whose order is another in each process: use a tuple"),
        ("Optional", {"clip": None}, "clip is recorded as nothing, and read back as 3.0"),
        ("Optional", {"hidden": 5}, "hidden is recorded as nothing, and read back as 2"),
    ],
)
def test_an_option_that_is_not_read_back_is_refused(module: str, name: str, options: Any, said: str) -> None:
    catalog = Catalog([entry("it", f"{module}:{name}")])
    with pytest.raises(ComponentError, match=rf"^loss\.{said}\. Tell the author of 'it' in third-party 1\.2\.$"):
        catalog.make("loss", "it", options)


FAULTY = """
class One:
    def fail(self, error):
        raise error

    def call(self, function):
        function()


class Two(One):
    def fail_too(self, error):
        raise error


def alone(error):
    raise error
"""


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module with the components One and Two, and a function besides."""
    (tmp_path / "catalog_test_faulty.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "catalog_test_faulty", raising=False)
    return import_module("catalog_test_faulty")


ENTRIES = [
    entry("one", "catalog_test_faulty:One"),
    entry("two", "catalog_test_faulty:Two", kind="metric"),
    entry("three", "catalog_test_faulty.other:Three", kind="extractor"),
]


@pytest.mark.parametrize(
    ("fail", "who"),
    [
        (lambda module, error: module.One().fail(error), "The loss 'one'"),
        (lambda module, error: module.Two().fail_too(error), "The metric 'two'"),
        (lambda module, error: module.One().call(lambda: module.Two().fail_too(error)), "The metric 'two'"),
        (lambda module, error: module.alone(error), "A component"),
    ],
    ids=["a component", "another one", "one that another one calls", "either"],
)
@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyError("k"), "KeyError: 'k'"), (SystemExit(3), "SystemExit: 3"), (OSError("x"), "OSError: x")],
)
def test_fault_is_found_with_the_component_whose_code_an_error_comes_from(
    faulty: Any, fail: Any, who: str, error: BaseException, said: str
) -> None:
    with pytest.raises(ComponentError) as found, finding_fault(ENTRIES):
        fail(faulty, error.with_traceback(None))
    assert str(found.value) == (f"{who} of third-party 1.2 failed: {said}. Tell its author what `sngan --debug` shows.")
    assert found.value.__cause__ is error


@pytest.mark.parametrize("error", [UsageError("explained"), FileNotFoundError(2, "No such file"), MemoryError()])
def test_what_is_explained_or_the_system_s_is_nobody_s_fault(faulty: Any, error: Exception) -> None:
    with pytest.raises(type(error)), finding_fault(ENTRIES):
        faulty.One().fail(error)


def test_an_error_from_other_code_or_from_our_own_components_passes(faulty: Any) -> None:
    with pytest.raises(ZeroDivisionError), finding_fault(ENTRIES):
        operator.truediv(1, 0)
    ours = [entry("one", "catalog_test_faulty:One", "sngan")]
    with pytest.raises(KeyError), finding_fault(ours):
        faulty.One().fail(KeyError("k"))


def test_a_missing_option_says_how_to_give_it(module: str) -> None:
    catalog = Catalog([entry("plain", f"{module}:Plain")])
    with pytest.raises(UsageError, match=r"'plain' needs the option 'power': give it with --set loss\.power=VALUE"):
        catalog.make("loss", "plain", {})


def test_every_group_of_the_contracts_has_built_ins() -> None:
    catalog = Catalog.installed()
    for kind in GROUPS:
        assert any(e.distribution == "sngan" for e in catalog.entries(kind)), kind

"""A package to begin a plugin with: one component that works, its test, and the line that registers it."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from sngan_cli.contracts import CONTRACT, GROUPS
from sngan_cli.errors import UsageError
from sngan_cli.wording import shortened

USE = {
    "dataset": "sngan train --dataset $name --size 32",
    "architecture": "sngan train --dataset shapes --arch $name",
    "loss": "sngan train --dataset shapes --loss $name",
    "normalization": "sngan train --dataset shapes --norm $name",
    "metric": "sngan evaluate @last --metric $name",
    "extractor": "sngan evaluate @last --extractor $name --metric fid",
}
"""A command that uses each kind of component."""


def write(kind: str, name: str, into: Path) -> Path:
    """Write a package with a component of this kind and name into the folder `into`; returns the package's own folder.

    Raises `UsageError` for a name that no module can have or another one has, and where the folder is there already or
    cannot be made.
    """
    words = name.split("-")
    module = "_".join(words)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 60 or keyword.iskeyword(module):
        raise UsageError(
            f"A component cannot be called {shortened(name)!r}: give lower-case letters, digits and single hyphens "
            "between them, such as 'least-squares', and no word of Python's."
        )
    package = f"sngan_{module}"
    if find_spec(package) is not None:
        raise UsageError(f"The package {package} is installed already, for something else: give another name.")
    suffix = "" if words[-1] == kind else kind.capitalize()
    values = {
        "name": name,
        "distribution": f"sngan-{name}",
        "package": package,
        "module": module,
        "cls": "".join(word.capitalize() for word in words) + suffix,
        "kind": kind,
        "title": "data set" if kind == "dataset" else kind,
        "group": GROUPS[kind],
        "contract": str(CONTRACT),
    }
    values["use"] = Template(USE[kind]).substitute(values)
    made = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{values['package']}/__init__.py": "__init__.py",
        f"{values['package']}/{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": "test.py",
    }
    folder = into / values["distribution"]
    try:
        folder.mkdir(parents=True)
        for path, template in made.items():
            text = (files(__package__) / "templates" / f"{template}.txt").read_text(encoding="utf-8")
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(Template(text).substitute(values), encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename} is there already: give another name, or another folder with --into."
        ) from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Give another folder with --into.") from error
    return folder

"""MATLAB files, in which older data sets keep labels and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sngan_cli.contracts import DataError


def read_mat(path: Path, title: str, url: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file by name; raises `DataError` where it is missing or damaged."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{title} needs {path.name} in {path.parent}: download {url} to it.")
    try:
        return {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    except Exception as error:  # a damaged file fails in any way
        raise DataError(f"The file {path} is damaged ({error}): download {url} again.") from error

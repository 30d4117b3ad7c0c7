"""Weights that are published as one file: finding, fetching, verifying and reading them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sngan_cli.contracts import ComponentError, NotFoundError, WeightsUnavailableError

_TIMEOUT = 20.0


@dataclass(frozen=True)
class PublishedWeights:
    """Where weights are published, the SHA-256 of their file, and the environment variable that may name it."""

    title: str
    url: str
    sha256: str
    variable: str

    @property
    def file(self) -> str:
        """Name of the file, which torch's hub gives it too."""
        return self.url.rpartition("/")[2]

    def load(self, given: Path | None, cache: Path) -> dict[str, Tensor]:
        """Read the tensors from the file `given`, that of the variable, the caches of sngan and torch, or the network.

        Raises `WeightsUnavailableError` where the file cannot be had, `NotFoundError` where a path leads to none, and
        `ComponentError` where it is another one: nothing of it is loaded then.
        """
        path = self._find(given, cache) or self._download(cache)
        with path.open("rb") as file:
            found = _sha256(file)
            if found != self.sha256:
                raise ComponentError(
                    f"The {self.title} weights {path} are not the expected ones: their SHA-256 is {found}, not "
                    f"{self.sha256}. Delete the file, and download it again from {self.url}."
                )
            tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return tensors

    def _find(self, given: Path | None, cache: Path) -> Path | None:
        for source, value in (("extractor.weights", given), (self.variable, os.environ.get(self.variable))):
            if value:
                path = Path(value)
                with suppress(RuntimeError):  # there may be no such user
                    path = path.expanduser()
                if not path.is_file():
                    raise NotFoundError(f"{source} = {str(value)!r} names no file: give the path of {self.file}.")
                return path
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        return next((folder / self.file for folder in (cache, hub) if (folder / self.file).is_file()), None)

    def _download(self, cache: Path) -> Path:
        target, partial = cache / self.file, cache / f".{self.file}.{os.getpid()}.partial"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(self.url, timeout=_TIMEOUT) as source, partial.open("wb") as file:
                shutil.copyfileobj(source, file)
            with partial.open("rb") as file:
                if _sha256(file) != self.sha256:  # a connection that is cut is no error of its own
                    raise OSError(f"{partial.stat().st_size} bytes came that are not the file")
            partial.replace(target)
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or error
            raise WeightsUnavailableError(
                f"The {self.title} weights could not be downloaded ({reason}). Download {self.url} by hand to "
                f"{target}, or to any place that {self.variable} or --set extractor.weights=FILE names."
            ) from error
        finally:
            with suppress(OSError):  # where it could not be made for want of its folder, that is the error
                partial.unlink()
        return target


def _sha256(file: io.BufferedReader) -> str:
    """Hash an open file, and go back to its beginning."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest

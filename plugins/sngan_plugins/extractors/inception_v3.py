"""The Inception network of the literature."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sngan_cli.contracts import ComponentError, Extractor, Features, LoadedExtractor, WeightsUnavailableError

if TYPE_CHECKING:
    from torch import Tensor

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "SNGAN_INCEPTION_WEIGHTS"
_TIMEOUT = 20.0


class InceptionV3(Extractor, contract=1):
    """Inception v3 of 2015 with TensorFlow's weights and resizing, as torch-fidelity converted them.

    Scores are comparable to the literature's: Salimans et al. (2016) and Heusel et al. (2017) use this network.
    """

    weights: Path | None = None
    """File of the weights; else $SNGAN_INCEPTION_WEIGHTS, then the caches of sngan and torch, then the network."""

    def load(self, device: str, cache: Path) -> LoadedExtractor:
        """Find, verify and load the weights."""
        path = self._find(cache) or _download(cache)
        found = _sha256(path)
        if found != SHA256:
            raise ComponentError(
                f"The Inception weights {path} are not the expected ones: their SHA-256 is {found}, not {SHA256}. "
                f"Delete the file, and download it again from {URL}."
            )
        return InceptionNetwork(path, found, device)

    def _find(self, cache: Path) -> Path | None:
        for source, given in (("extractor.weights", self.weights), (VARIABLE, os.environ.get(VARIABLE))):
            if given:
                path = Path(given).expanduser()
                if not path.is_file():
                    raise ComponentError(f"{source} = {str(given)!r} names no file: give the path of {FILE}.")
                return path
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        return next((folder / FILE for folder in (cache, hub) if (folder / FILE).is_file()), None)


class InceptionNetwork:
    """torch-fidelity's network on a device: pooled features (N, 2048) and logits without bias (N, 1008)."""

    def __init__(self, path: Path, sha256: str, device: str):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.weights_sha256 = sha256
        # torch-fidelity unpickles whatever it is given: give it tensors that were loaded as nothing but tensors.
        tensors = io.BytesIO()
        torch.save(torch.load(path, map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        self._network = FeatureExtractorInceptionV3("sngan", ["2048", "logits_unbiased"], tensors).to(device)

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images (N, 3, H, W)."""
        pooled, logits = self._network(images)
        return Features(pooled, logits)


def _download(cache: Path) -> Path:
    target, partial = cache / FILE, cache / f".{FILE}.{os.getpid()}.partial"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=_TIMEOUT) as source, partial.open("wb") as file:
            shutil.copyfileobj(source, file)
        partial.replace(target)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise WeightsUnavailableError(
            f"The Inception weights could not be downloaded ({reason}). Download {URL} by hand to {target}, or to any "
            f"place that {VARIABLE} or --set extractor.weights=FILE names."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

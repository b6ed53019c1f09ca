"""What a run depends on besides its recipe: the machine, the versions, the data."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fastai.torch_core import default_device

import freqfast
from freqfast._version import __version__
from freqfast.compute.precision import resolve_device, resolve_precision
from freqfast.data import ImageData
from freqfast.data.cifar10 import named_place
from freqfast.plugins import plugin_versions
from freqfast.runs.recipe import Recipe

__all__ = ["data_hash", "data_place", "describe_environment", "differences", "environment_differences", "threads"]

_PACKAGES = (
    "fastai",
    "fastcore",
    "h5py",
    "numpy",
    "pillow",
    "safetensors",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)


def describe_environment(
    recipe: Recipe, data: ImageData, data_path: str | Path | None, device: torch.device | str | None
) -> dict[str, Any]:
    """What a rerun needs to know, as it stands in ``environment.json``; see `freqfast.runs.directory`.

    Args:
        recipe: Whose precision is decided here, once for the run.
        data: The data as loaded, before any of it is held out.
        data_path: Where it was found, as the user said.
        device: Where to train; fastai's default device if None.

    Raises:
        ValueError: If the device is not there or the precision unknown.
    """
    place = torch.device(default_device()) if device is None else resolve_device(device)
    on_gpu, found = place.type == "cuda", data_place(recipe.data, data_path)
    return {
        "freqfast": __version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(place) if on_gpu else None,
        "cuda": {"version": torch.version.cuda, "cudnn": torch.backends.cudnn.version()} if on_gpu else None,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "precision": resolve_precision(recipe.precision, place),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES} | plugin_versions(),
        "data": {
            "name": data.name,
            "path": None if found is None else str(found),
            "sha256": data_hash(data),
        },
    }


def data_place(name: str, data_path: str | Path | None) -> Path | None:
    """Where the user says that the data is, by its full path; None where nothing is said."""
    given = named_place(data_path) if name == "cifar10" else data_path
    return Path(given).expanduser().resolve() if given else None


def data_hash(data: ImageData) -> str:
    """SHA-256 of the decoded images, the labels and the classes' names, whatever files they came from."""
    digest = hashlib.sha256(repr(data.classes).encode())
    for part in (data.train, data.test):
        digest.update(repr(part.images.shape).encode())
        digest.update(part.images.data)
        digest.update(part.labels.astype("<i8").data)
    return digest.hexdigest()


def environment_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One text for each entry that differs, such as ``packages.torch: 2.5.0, now 2.6.0``; but for data's place."""
    ignored = ("data.path", "recipe_sha256")
    return [f"{name}: {a}, now {b}" for name, a, b in differences(old, new) if name not in ignored]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The entries of nested tables that differ: dotted keys with both values, None where there is no such entry."""
    for key in dict.fromkeys((*old, *new)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, a, b


@contextmanager
def threads(count: Any) -> Iterator[None]:
    """Compute on so many threads for a while: sums are split among them, so their number is part of the result.

    Raises:
        ValueError: If that is no sensible number.
    """
    if not isinstance(count, int) or not 1 <= count <= 1024:
        raise ValueError(f"threads must lie in 1..1024, got {count!r}")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    """The CPU's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except (OSError, ValueError):
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout that this package runs from, and whether its files were changed; None outside of one."""
    folder = Path(freqfast.__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # looking must not write to the checkout
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=environment)  # noqa: S603
        return result.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else it is another project's checkout around site-packages
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno", "."))}
    except (OSError, subprocess.SubprocessError):
        return None

"""The environment of a run that starts here and now."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import freqfast
from freqfast import __version__
from freqfast.compute.precision import cpu_has_amx, default_device, resolve_device, resolve_precision
from freqfast.compute.ranks import current_ranks
from freqfast.data import ImageData
from freqfast.data.images import data_hash
from freqfast.data.loading import FOLDER
from freqfast.data.stored import named_place
from freqfast.files import file_sha256, of_user
from freqfast.models.start import check_start, hash_pretrained
from freqfast.plugins import plugin_versions
from freqfast.runs.environment import Cuda, DataOrigin, Environment, Git
from freqfast.runs.recipe import Recipe

_PACKAGES = (
    "fastai", "fastcore", "h5py", "numpy", "pillow", "safetensors", "scikit-image", "scikit-learn", "scipy", "torch",
    "torchvision",
)  # fmt: skip


def describe_environment(
    recipe: Recipe,
    data: ImageData,
    data_path: str | Path | None,
    device: torch.device | str | None,
    precision: str,
    command: str | None = None,
    weights: Path | None = None,
) -> Environment:
    """The environment of a run that starts here and now; see `freqfast.training.run_recipe` for the arguments.

    The data is as loaded, before some of it is held out. A precision of "auto" is decided here, once for the run.
    `weights` is the file of trained weights, if it is not where the recipe says.
    """
    weights = weights or check_start(recipe.model, recipe.model_options)
    place = resolve_device(device or default_device())
    on_gpu, ranks = place.type == "cuda", current_ranks()
    return Environment(
        freqfast=__version__,
        git=_git_state(),
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor_name(),
        instructions=torch.backends.cpu.get_cpu_capability() + (", AMX" if cpu_has_amx() else ""),
        gpu=torch.cuda.get_device_name(place) if on_gpu else None,
        cuda=Cuda(torch.version.cuda, torch.backends.cudnn.version()) if on_gpu else None,
        device=str(place) if ranks.count == 1 else place.type,
        threads=torch.get_num_threads(),
        ranks=ranks.count,
        precision=resolve_precision(precision, place),
        packages={name: importlib.metadata.version(name) for name in _PACKAGES} | plugin_versions(),
        data=DataOrigin(data.name, data_hash(data), _full_path(recipe.data, data_path)),
        start_path=None if weights is None else str(weights.absolute()),
        start_sha256=hash_pretrained(recipe.model, recipe.model_options) if weights is None else file_sha256(weights),
        recipe_sha256=hashlib.sha256(recipe.to_toml().encode()).hexdigest(),
        command=command,
    )


def _full_path(name: str, data_path: str | Path | None) -> str | None:
    """Where the user says that the data is, by its full path; None if nothing is said."""
    given = named_place(data_path) if name in ("cifar10", FOLDER) else data_path
    return str(of_user(given).resolve()) if given else None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with this many threads in a `with` block. Sums are split among them, so results depend on the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processor_name() -> str:
    """The CPU's name, if the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except (OSError, ValueError):
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _git_state() -> Git | None:
    """Commit of the checkout that this package runs from, and whether its files were changed; None outside of one."""
    folder = Path(freqfast.__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # looking must not write to the checkout
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=environment)  # noqa: S603
        return result.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else it is another project's checkout around site-packages
        return Git(git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "-uno", ".")))
    except (OSError, subprocess.SubprocessError):
        return None

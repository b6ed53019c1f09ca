"""What a run depends on besides its recipe: versions, machine, precision and data."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from freqfast.records import differences


@dataclass(frozen=True)
class Git:
    """The checkout that freqfast ran from.

    Attributes:
        commit: Its commit.
        modified: Whether its files differ from that commit's.
    """

    commit: str
    modified: bool


@dataclass(frozen=True)
class Cuda:
    """Versions of CUDA and cuDNN."""

    version: str | None
    cudnn: int | None


@dataclass(frozen=True)
class DataOrigin:
    """The data of a run.

    Attributes:
        name: Its name.
        sha256: Hash of the decoded data, see `freqfast.data.images.data_hash`.
        path: Where it was found; None if it was found by its name alone.
    """

    name: str
    sha256: str
    path: str | None = None

    def place(self) -> str | None:
        """Where the data was found and still is; None if it was found by its name alone.

        Raises:
            FileNotFoundError: If nothing is there any more.
        """
        if self.path is not None and not os.path.exists(self.path):
            raise FileNotFoundError(
                f"{self.path}, where the run's data was, does not exist; name the place where the data is now"
            )
        return self.path


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a rerun needs to know, as ``environment.json`` holds it.

    Attributes:
        freqfast: Version of freqfast.
        git: The checkout that it ran from; None if it ran from none.
        python: Version of Python.
        platform: The operating system.
        processor: Name of the CPU.
        instructions: The CPU's vector instructions that torch uses, and AMX if `freqfast.compute.small_maps` uses it.
        gpu: Name of the GPU, if the run used one.
        cuda: Versions of the GPU's libraries.
        device: Where the run trained, such as "cpu" or "cuda:0"; with several ranks only the kind.
        threads: Number of CPU threads, of each process.
        ranks: Number of processes that trained together.
        precision: "bfloat16" or "float32".
        packages: Versions of the packages that results depend on.
        data: The data.
        start_path: The file of trained weights from which the training starts; None if the recipe names none.
        start_sha256: Its hash; or that of the tensors of timm's or torchvision's own weights, if it starts from these.
        recipe_sha256: Hash of ``recipe.toml``, by which a change of it is noticed.
        command: The shell command that started the run; None if Python code did.
    """

    freqfast: str
    git: Git | None = None
    python: str
    platform: str
    processor: str
    instructions: str
    gpu: str | None = None
    cuda: Cuda | None = None
    device: str
    threads: Annotated[int, Field(ge=1, le=1024)]
    ranks: Annotated[int, Field(ge=1)] = 1
    precision: str
    packages: Mapping[str, str]
    data: DataOrigin
    start_path: str | None = None
    start_sha256: str | None = None
    recipe_sha256: str = ""
    command: str | None = None


def environment_differences(old: Environment, new: Environment) -> list[str]:
    """One text for each entry that may change a result and differs, such as ``packages.torch: 2.5.0, now 2.6.0``."""
    ignored = ("data.name", "data.path", "start_path", "recipe_sha256", "command")
    return [f"{name}: {a}, now {b}" for name, a, b in differences(old, new) if name not in ignored]

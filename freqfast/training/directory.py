"""Run directories as the process that works on one sees them: made whole, and locked."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from freqfast.files import as_new, lock_folder, sync, write_text
from freqfast.recipe import Recipe

__all__ = ["create_run", "remove_leftovers"]


@contextmanager
def create_run(path: str | Path, recipe: Recipe, environment: Mapping[str, Any]) -> Iterator[None]:
    """Make a run directory appear with the recipe and the environment already inside, locked while the block lasts.

    The environment comes to hold the SHA-256 of ``recipe.toml``, so that a change of it is noticed.

    Raises:
        FileExistsError: If there is something of that name.
        OSError: If no directory can be made there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise type(error)(error.errno, f"{path} cannot be made ({error.strerror}); choose another --out") from None
    try:
        text = recipe.to_toml()
        described = {**environment, "recipe_sha256": hashlib.sha256(text.encode()).hexdigest()}
        write_text(temporary / "recipe.toml", text)
        write_text(temporary / "environment.json", json.dumps(described, indent=2) + "\n")
        as_new(temporary)
        with lock_folder(temporary):
            try:
                os.rename(temporary, path)
            except OSError:
                if path.exists():  # since the caller looked
                    raise FileExistsError(f"{path} exists already; choose another --out or remove it") from None
                raise
            with suppress(OSError):  # the name is there; some systems cannot flush a folder
                sync(path.parent)
            yield
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # there if it did not get its name


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a killed process left; the directory must be locked."""
    for folder in (path, path / "checkpoints"):
        for file in folder.glob(".*.tmp"):
            file.unlink(missing_ok=True)

"""Run directories as the process that works on one sees them: made whole, and locked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from freqfast.files import name_folder, remove_temporaries, unnamed_folder, write_text
from freqfast.runs.recipe import Recipe

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
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(unnamed_folder(path))
        except OSError as error:
            reason = error.strerror or error
            raise type(error)(error.errno, f"{path} cannot be made ({reason}); choose another --out") from None
        text = recipe.to_toml()
        described = {**environment, "recipe_sha256": hashlib.sha256(text.encode()).hexdigest()}
        write_text(temporary / "recipe.toml", text)
        write_text(temporary / "environment.json", json.dumps(described, indent=2) + "\n")
        try:
            name_folder(temporary, path)
        except OSError:
            if path.exists():  # since the caller looked
                raise FileExistsError(f"{path} exists already; choose another --out or remove it") from None
            raise
        yield


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a killed process left; the directory must be locked."""
    for folder in (path, path / "checkpoints"):
        remove_temporaries(folder)

"""Files that commands are given and write: looked at before the work begins, and figures saved whole."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqfast.cli.errors import print_error

from freqfast.files import of_user, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from freqfast.runs.directory import RunDirectory

FORMATS = ("png", "svg", "pdf")
"""Of figures, as their names end."""


def check_exists(path: str | Path, kind: str) -> None:
    """Refuse a path where nothing is, before the packages that would read it are imported; says what to name."""
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{path} does not exist; name {kind}")


def check_data(place: str | Path | None) -> None:
    """Refuse data that is neither there nor has a name, before the packages that would read it are imported.

    A name that is a folder's too is the data set's, which a line tells; a `Path` is no name.
    """
    from freqfast.data.loading import data_names, is_data_name

    if place is not None and not is_data_name(str(place)):
        names = "" if isinstance(place, Path) else f"{', '.join(filter(is_data_name, data_names()))}, or "
        check_exists(of_user(place), f"{names}an archive or a folder of images")
    elif isinstance(place, str) and os.path.lexists(place):
        print_error(f"{place} is a data set's name; for the folder here write ./{place}")


def check_folder(path: Path) -> None:
    """Refuse the path of a folder that cannot be made or written to, before there is anything to write."""
    above = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        raise NotADirectoryError(f"{path} cannot be made, since {above} is no folder; choose another path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"folder {above} cannot be written to; choose another path")


def check_output(
    path: Path | None,
    formats: Sequence[str] | None = None,
    replaces: Callable[[Path], object] | None = None,
    kind: str = "",
) -> None:
    """Refuse the path of a file to write before there is anything to write.

    Its name may end in one of the formats, by default in anything. `replaces` reads what may be replaced (in words:
    `kind`), and raises ValueError of anything else that is there; by default all may.
    """
    if path is None:
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no regular file; choose another path")
    if formats and path.suffix[1:].lower() not in formats:
        raise ValueError(f"cannot write {path}: its name must end in .{' or .'.join(formats)}")
    folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist; create it or choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"folder {folder} cannot be written to; choose another path")
    if replaces is not None and path.exists() and path.stat().st_size:
        try:
            replaces(path)
        except ValueError:
            raise FileExistsError(f"{path} is there and is no {kind}; choose another path or remove it") from None


def run_of_record(path: Path | None, name: str) -> "RunDirectory | None":
    """The run whose record, "spectra" or "evaluation", a path is; None if it is none's."""
    from freqfast.runs.directory import RunDirectory

    if path is None:
        return None
    owner = RunDirectory(path.resolve().parent)
    return owner if owner.is_started and path.resolve() == getattr(owner, name) else None


def check_record(path: Path | None, name: str, model: str) -> bool:
    """Whether a path is the record of the run that a model is of; that of a run of another model is refused."""
    from freqfast.runs.directory import find_run

    if (owner := run_of_record(path, name)) is None:
        return False
    run = find_run(model)
    if run is None or not owner.path.samefile(run.path):
        raise FileExistsError(f"{path} is the record of a run of another model; choose another path")
    return True


def write(path: Path | None, make: Callable[[Path], None]) -> None:
    """Make a file if one is wanted; the OSError of one that cannot be written names it."""
    if path is None:
        return
    try:
        make(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror or error})") from None


def save_figure(path: Path, figure: "Figure", dpi: float | str = 200) -> None:
    """Save a figure, whole or not at all, in the format of the name's ending; dpi may be "figure" for its own."""

    def save(path: Path) -> None:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=dpi)

    write(path, save)

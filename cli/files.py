"""Files that commands are given and write: looked at before the work begins, and figures saved whole."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast.cli.errors import print_error

from freqfast.files import of_user, replacing
from freqfast.records import toml_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
"""Of figures, as their names end."""
_SPLITS = ("train", "test", "valid", "val", "validation")  # folders of images in a data set's


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


def check_folder(path: Path, reads: str | Path | None = None) -> None:
    """Refuse the path of a folder that cannot be made or written to, or lies in the folder that the command reads."""
    above = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        raise NotADirectoryError(f"{path} cannot be made, since {above} is no folder; choose another path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"folder {above} cannot be written to; choose another path")
    place, target = of_user(reads or os.devnull).resolve(), path.resolve()
    folders = [place / split for split in _SPLITS if (place / split).is_dir()] or [place]
    if target == place or any(folder in (target, *target.parents) for folder in folders):
        raise FileExistsError(f"{path} lies in {reads}, which is read; choose another path")


def check_output(
    path: Path,
    formats: Sequence[str] = (),
    reads: Iterable[Any] = (),
    force: bool = False,
    record_of: str | None = None,
) -> None:
    """Refuse the path of a file to write before there is anything to write.

    Args:
        path: The file.
        formats: How its name may end; by default in anything.
        reads: What the command reads: names of models, files and folders, None for what is not given. It never replaces
            one of these, nor a file in one of these folders, unless it is a run's.
        force: Whether another file that is there may be replaced.
        record_of: The model whose run's own evaluation the command may replace, or spectra, if they are missing; a
            run's other files are never replaced.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no regular file; choose another path")
    if formats and path.suffix[1:].lower() not in formats:
        raise ValueError(f"cannot write {path}: its name must end in .{' or .'.join(formats)}")
    target = Path(os.path.realpath(path))
    folder = target.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist; create it or choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"folder {folder} cannot be written to; choose another path")
    for place in (Path(os.path.realpath(of_user(name))) for each in reads for name in _places(each)):
        is_inside = place in target.parents and (target.exists() or place != target.parent)
        if place == target or (is_inside and not (place / "recipe.toml").exists()):
            raise FileExistsError(f"{path} is {'in ' * is_inside}what the command reads; choose another path")
    _keep_records(path, target, record_of)
    if path.exists() and path.stat().st_size and not force:
        raise FileExistsError(f"{path} exists already; replace it by --force, or choose another path")


def _places(name: Any) -> Iterator[str]:
    """The files and folders that a word names, also those that a TOML file of a network names."""
    if name is None:
        return
    file, suffix, _ = str(name).partition(".py:")
    yield file + suffix.rstrip(":")
    if str(name).endswith(".toml") and Path(name).is_file():
        stated = toml_values(Path(name).read_bytes(), name)
        for key in ("model", "weights", "classes", "data"):
            if isinstance(stated.get(key), str):
                yield from _places(Path(name).parent / stated[key])


def _keep_records(path: Path, target: Path, record_of: str | None) -> None:
    """Refuse a file of a run, but for a record of the run of this model."""
    from freqfast.runs.directory import RunDirectory, find_run

    for folder in target.parents[:2]:
        run = RunDirectory(folder)
        if not run.is_started or target not in {*vars(run).values(), *run.analysis("x").parent.glob("*.json")}:
            continue
        own = None if record_of is None else find_run(record_of)
        may_write = target == run.evaluation or (target == run.spectra and not target.exists())
        if not may_write or own is None or not own.path.samefile(folder):
            raise FileExistsError(f"{path} is a file of the run {folder.name}; choose another path")


def write(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file; the OSError of one that cannot be written names it."""
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

"""Lists of the classes of images: text files with an image and its class on each line."""

import csv
import re
from collections import Counter
from pathlib import Path

from freqfast.data.image_files import names_image
from freqfast.files import read_file

_LIST_BYTES = 2**26
_BOXES = re.compile(r"(\s\d+){4}.*")  # after a class in ImageNet's list


def listed_classes(folder: Path, labels: str | Path) -> dict[Path, str]:
    """The images in a folder that a list names, with their classes, sorted; `list_images` says what lists there are.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If a line names no image, or one for the second time.
    """
    files = {path.name: path for path in folder.iterdir() if names_image(path.name)}
    stems = Counter(path.stem for path in files.values())
    files = {path.stem: path for path in files.values() if stems[path.stem] == 1} | files
    class_of: dict[Path, str] = {}
    columns = "", ""
    for number, line in enumerate(read_file(labels, _LIST_BYTES).decode("utf-8-sig", "replace").splitlines(), 1):
        name, label = _name_and_class(line)
        if number == 1 and name not in files and not names_image(name):
            columns = name, label
        elif not (name or label):  # an empty line
            continue
        elif name not in files or not label:
            raise ValueError(f"{labels}, line {number}: {name!r} is no image in {folder} with a class after it")
        elif files[name] in class_of:
            raise ValueError(f"{labels}, line {number}: {name!r} is listed twice")
        else:
            class_of[files[name]] = label
    if columns[1] in class_of.values():  # then the first line is no header
        raise ValueError(f"{labels}, line 1: {columns[0]!r} is no image in {folder}")
    return dict(sorted(class_of.items()))


def _name_and_class(line: str) -> tuple[str, str]:
    """The first two fields of a line, or empty ones; a class can have spaces only after a tab or comma."""
    mark = next((mark for mark in "\t," if mark in line), None)
    fields = line.split() if mark is None else next(csv.reader([line], delimiter=mark, skipinitialspace=True))
    name, label = (*fields, "", "")[:2]
    return name.strip(), _BOXES.sub("", label).strip()

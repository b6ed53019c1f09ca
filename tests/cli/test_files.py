"""Where files may be left, found out before the work."""

import os
from pathlib import Path

import pytest
from freqfast.cli.files import FORMATS, check_output


def test_files_that_can_be_written(place):
    for name in ("new.PNG", "a.b.svg"):
        check_output(Path(name), FORMATS)
    (place / "former").write_text("")
    check_output(Path("former"))
    check_output(None, FORMATS)


def test_a_folder_without_room_for_new_files(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == Path("sub")))
    (place / "sub").mkdir()
    check_output(place / "x.json")
    with pytest.raises(PermissionError, match="folder sub cannot be written to; choose another path"):
        check_output(Path("sub/x.json"))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("sub", IsADirectoryError, "sub is a folder; name a file"),
        ("no/x.png", FileNotFoundError, "folder no does not exist; create it or choose another path"),
        ("file/x.png", FileNotFoundError, "folder file does not exist"),
        ("x", ValueError, r"cannot write x: its name must end in \.png or \.svg or \.pdf"),
        ("x.png.gz", ValueError, r"cannot write x\.png\.gz: its name"),
    ],
)
def test_others(place, name, error, message):
    (place / "sub").mkdir()
    (place / "file").write_text("")
    with pytest.raises(error, match=message):
        check_output(Path(name), FORMATS)

"""Files that commands are given and write, looked at before the work."""

import os
from pathlib import Path

import pytest
from freqfast.cli.files import FORMATS, check_folder, check_output


def test_outputs_that_can_be_written(place):
    for name in ("new.PNG", "a.b.svg"):
        check_output(Path(name), FORMATS)
    (place / "former").write_text("")
    check_output(Path("former"))
    check_output(None, FORMATS)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("sub", IsADirectoryError, "sub is a folder; name a file"),
        ("no/x.png", FileNotFoundError, "folder no does not exist; create it or choose another path"),
        ("x", ValueError, r"cannot write x: its name must end in \.png or \.svg or \.pdf"),
        ("sub/x.png", PermissionError, "folder sub cannot be written to; choose another path"),
    ],
)
def test_outputs_that_cannot_be_written(place, monkeypatch, name, error, message):
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == Path("sub")))
    (place / "sub").mkdir()
    (place / "file").write_text("")
    with pytest.raises(error, match=message):
        check_output(Path(name), FORMATS)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("file", NotADirectoryError, "file cannot be made, since file is no folder"),
        ("file/a/b", NotADirectoryError, "file/a/b cannot be made, since .*file is no folder"),
        ("sub/a/b", PermissionError, "folder .*sub cannot be written to"),
    ],
)
def test_folders_that_cannot_be_made(place, monkeypatch, name, error, message):
    (place / "sub").mkdir()
    (place / "file").write_text("")
    check_folder(Path("new/a"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(error, match=message):
        check_folder(Path(name))

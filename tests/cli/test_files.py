"""Files that commands write, looked at before the work; what other refusals say is in the tests of the commands."""

import os
from pathlib import Path

import pytest
from freqfast.cli.files import check_folder, check_output


def test_a_folder_in_place_of_a_file(place):
    (place / "sub").mkdir()
    with pytest.raises(IsADirectoryError, match="sub is a folder; name a file"):
        check_output(Path("sub"))


def test_a_device_in_place_of_a_file():
    with pytest.raises(FileExistsError, match="/dev/null is no regular file; choose another path"):
        check_output(Path("/dev/null"))


def test_a_link_is_followed(place):
    (place / "out.json").symlink_to("/nonexistent/out.json")
    with pytest.raises(FileNotFoundError, match="folder /nonexistent does not exist; create it or choose another path"):
        check_output(Path("out.json"))
    Path("loop.json").symlink_to("loop.json")
    check_output(Path("loop.json"))  # writing replaces it


def test_folders_that_cannot_be_written_to(place, monkeypatch):
    (place / "sub").mkdir()
    check_folder(Path("new/a"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="folder sub cannot be written to; choose another path"):
        check_output(Path("sub/x.png"))
    with pytest.raises(PermissionError, match=r"folder \S*sub cannot be written to"):
        check_folder(Path("sub/a/b"))

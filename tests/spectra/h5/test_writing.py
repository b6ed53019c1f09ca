import os
from unittest.mock import Mock

import pytest

import freqfast.spectra.h5.writing as writing
from freqfast.spectra.h5 import write_spectra


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(path, spectra, monkeypatch, error):
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", Mock(side_effect=error))
    with pytest.raises(type(error)) as caught:
        write_spectra(path, spectra)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device; choose another path"


def test_invalid_folders_are_refused(tmp_path, spectra):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        write_spectra(tmp_path / "absent" / "spectra.h5", spectra)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file does not exist|cannot write"):
        write_spectra(tmp_path / "file" / "spectra.h5", spectra)
    with pytest.raises(OSError, match=r"cannot write .*choose another path"):
        write_spectra(tmp_path, spectra)


def test_arrays_that_are_too_large_to_read_are_not_written(tmp_path, spectra, monkeypatch):
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 fit"):
        write_spectra(tmp_path / "spectra.h5", spectra)
    assert list(tmp_path.iterdir()) == []

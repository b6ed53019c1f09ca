import os

import pytest
from torch import nn

import freqfast.spectra.h5.writing as writing
from freqfast.spectra.h5 import read_spectra, write_spectra


def test_a_model_is_measured(tmp_path):
    write_spectra(tmp_path / "a.h5", nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3)))
    assert read_spectra(tmp_path / "a.h5").layer == "1"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(path, spectra, monkeypatch, error):
    def fail(*paths):
        raise error

    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        write_spectra(path, spectra)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_invalid_folders_are_refused(tmp_path, spectra):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        write_spectra(tmp_path / "absent" / "spectra.h5", spectra)
    with pytest.raises(FileExistsError, match=r"cannot write .*choose another path"):
        write_spectra(tmp_path, spectra)


def test_arrays_that_are_too_large_to_read_are_not_written(tmp_path, spectra, monkeypatch):
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 fit"):
        write_spectra(tmp_path / "spectra.h5", spectra)
    assert list(tmp_path.iterdir()) == []

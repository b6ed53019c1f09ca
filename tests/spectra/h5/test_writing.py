import os
import random
import signal
import time

import pytest

import freqfast.spectra.h5.writing as writing
from freqfast.spectra.h5 import read_spectra, validate, write_spectra


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(path, spectra, monkeypatch, error):
    before = path.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)) as caught:
        write_spectra(path, spectra)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device; choose another path"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_killed_write_leaves_a_whole_file(tmp_path, make_spectra):
    path = tmp_path / "spectra.h5"
    versions = [make_spectra(epochs=4, seed=seed) for seed in (0, 1)]
    write_spectra(path, versions[0])
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for spectra in versions:
                        write_spectra(path, spectra)
            finally:
                os._exit(1)
        time.sleep(random.uniform(0.005, 0.1))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        read = read_spectra(path)
        (version,) = (v for v in versions if v.weight.tobytes() == read.weight.tobytes())
        assert read.history.power.tobytes() == version.history.power.tobytes()
    assert validate(path) == []


def test_invalid_folders_are_refused(tmp_path, spectra):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        write_spectra(tmp_path / "absent" / "spectra.h5", spectra)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file does not exist|cannot write"):
        write_spectra(tmp_path / "file" / "spectra.h5", spectra)
    with pytest.raises(OSError, match=r"cannot write .*choose another path"):
        write_spectra(tmp_path, spectra)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="nothing is forbidden to root")
def test_forbidden_places(path, spectra):
    path.chmod(0)
    with pytest.raises(PermissionError, match="cannot read"):
        read_spectra(path)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot write"):
            write_spectra(path, spectra)
    finally:
        path.parent.chmod(0o700)


def test_arrays_that_are_too_large_to_read_are_not_written(tmp_path, spectra, monkeypatch):
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 fit"):
        write_spectra(tmp_path / "spectra.h5", spectra)
    assert list(tmp_path.iterdir()) == []


def test_a_reserved_provenance_name_is_refused(tmp_path, make_spectra):
    with pytest.raises(ValueError, match="NX_class"):
        write_spectra(tmp_path / "spectra.h5", make_spectra(provenance={"NX_class": "NXroot"}))

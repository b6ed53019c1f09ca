"""The command line from its words to its exit code, in a directory of its own."""

import sys
from dataclasses import dataclass

import pytest
import torch
import torchvision

from freqfast.data.photos import PHOTOS
from freqfast.models.sources import load_network
from tests.support.commands import exit_code
from tests.support.finished import write_network
from tests.support.foreign import write_checkpoint, write_script
from tests.support.libraries import library_caches  # noqa: F401 (a fixture)
from tests.support.photographs import write_photographs
from tests.support.stored import write_arrays
from tests.support.trees import make_tree


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory of its own, without data in the environment; what Python compiles stays out of it."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return place


@pytest.fixture
def call(capsys):
    """Runs the command line in this process, from the words to the exit code."""

    def call(*words):
        capsys.readouterr()
        return Result(exit_code(*words), *capsys.readouterr())

    return call


@pytest.fixture
def accepted(call):
    """Runs the command line, which must end well, and say nothing on stderr if it is to be silent."""

    def accepted(*words, silent=False):
        result = call(*words)
        assert result.code == 0, result.err
        assert not silent or result.err == ""
        return result

    return accepted


@pytest.fixture
def refused(call, place):
    """Bad input: exit code 2, nothing on stdout, one line on stderr, no new file; gives the line."""

    def refused(*words):
        before = sorted(place.parent.rglob("*"))
        result = call(*words)
        assert result.code == 2, result
        assert result.out == ""
        assert result.err.startswith("freqfast: ")
        assert result.err.count("\n") == 1
        assert "Traceback" not in result.err
        assert sorted(place.parent.rglob("*")) == before
        return result.err

    return refused


@pytest.fixture
def checkpoint(tmp_path):
    """A model of the photographs."""
    path = tmp_path / "model.safetensors"
    write_network(path, PHOTOS)
    return path


@pytest.fixture
def rival(tmp_path):
    """Another model of ten classes."""
    path = tmp_path / "rival.safetensors"
    write_network(path, "abcdefghij", seed=1)
    return path


@pytest.fixture
def published(place):
    """A network as others publish it: foreign_net.py, and its weights in theirs.th."""
    write_script(place)
    model = load_network("./foreign_net.py:trained", sees_images=False).module
    write_checkpoint(place / "theirs.th", model)
    return model


@pytest.fixture
def no_commits(monkeypatch):
    """A resumed run warns of another commit of the checkout; someone may make one while the tests run."""
    monkeypatch.setattr("freqfast.training.environment._git_state", lambda: None)


@pytest.fixture
def archive(tmp_path):
    """Two corruptions of four images in the published layout."""
    return write_arrays(tmp_path / "archive [of bold] images", ("fog", "contrast"), 4)


@pytest.fixture
def tree(tmp_path):
    """An image-folder tree of two classes: 32 training and 8 test images."""
    return make_tree(tmp_path / "tree")


@pytest.fixture
def photographs(place):
    return write_photographs(place)


@pytest.fixture
def squeezenet(library_caches, place):  # noqa: F811
    """Weights where torchvision keeps what it downloads, and the names of their classes."""
    network = torchvision.models.squeezenet1_1()
    torch.save(network.state_dict(), library_caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    (place / "names.txt").write_text("\n".join(["green", "red", *map(str, range(997)), "blue"]))

"""A sample of the hostile files in processes of their own, with a limit on memory and on time."""

import resource
import subprocess
import sys

import pytest

from tests.hostile import handmade

MEMORY = 6 * 2**30  # bytes of address space; the libraries alone map 2 to 3 GiB
SAMPLE = [
    "pickle torch zip.pth",
    "safetensors huge shape, weights",
    "metadata vast width",
    "labels.npy of an absurd shape",
    "manifest nested",
    "tar of zeros without end",
    "image of 10 gigapixels",
    "image file of a terabyte",
    "images that unpack to gigabytes",
    "batch lists within lists",
    "result nested",
    "study nested",
    "HDF5 many names for one array",
]
SHORT = SAMPLE[:1]


def run(world, name, checked):
    make, words = handmade.CASES[name]
    path = make(world)
    places = {"{}": path, "{model}": world.sound / "model.safetensors", "{tree}": world.sound / "tree"}
    done = subprocess.run(
        [sys.executable, "-m", "freqfast", *map(str, (places.get(word, word) for word in words))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    checked(done.returncode, done.stdout, done.stderr)
    assert not world.canary.exists()


@pytest.mark.parametrize("name", SHORT)
def test_process(name, world, checked):
    run(world, name, checked)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE[1:])
def test_more_processes(name, world, checked):
    run(world, name, checked)


@pytest.mark.slow
def test_too_little_memory_is_one_line_and_exit_code_1(world, checked):
    """A sound request that the machine cannot serve."""
    words = [sys.executable, "-c", _HUNGRY, "quality", str(world.sound / "model.safetensors")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert checked(done.returncode, done.stdout, done.stderr).code == 1


_HUNGRY = """
import resource, sys
import torch, freqfast.analysis, freqfast.runs.directory
from freqfast.cli.main import main
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**24,) * 2)
freqfast.analysis.filter_quality = lambda *_: torch.empty(2**28)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_a_file_that_hangs_hdf5_is_refused(world, attack, monkeypatch):
    """A heap of texts, which has no checksum, that libhdf5 never comes to the end of."""
    from freqfast.spectra.h5 import trial

    monkeypatch.setattr(trial, "_SECONDS", 1.0)
    path = world.copy("spectra.h5")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 2], content[heap + 8 : heap + 16] = bytes(2), bytes(8)  # a free space that takes no room
    path.write_bytes(content)
    assert "does not end within" in attack("show", path).err

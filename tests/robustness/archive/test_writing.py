"""The stored layout and its manifest, the progress that is told, and requests that are refused."""

import hashlib
import json
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqfast.corruptions import corrupt
from freqfast.data.images import Images
from freqfast.robustness.archive import writing
from freqfast.robustness.archive.layout import read_manifest
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import write_archive
from tests.support.cells import cell_of, cells_of
from tests.support.stored import NAMES, data


def test_layout_and_manifest(folder, images):
    done = write_archive(folder, images, NAMES, seed=7, source="mine", classes=list("abcdefghij"), limit=4)
    images = images[:4]
    files = ("labels.npy", *(f"{name}.npy" for name in NAMES))
    assert (done.written, done.verified, done.damaged) == (files, (), {})
    assert sorted(p.name for p in folder.iterdir()) == sorted((*files, "manifest.json"))
    for name in NAMES:
        stored = np.load(folder / f"{name}.npy")
        assert stored.dtype == np.uint8
        np.testing.assert_array_equal(stored, np.concatenate([corrupt(images.pixels, name, s, 7) for s in range(1, 6)]))
    stored = np.load(folder / "labels.npy")
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, np.tile(images.labels, 5))

    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(images.pixels.tobytes() + images.labels.astype("<i8").tobytes()).hexdigest()
    assert {k: manifest[k] for k in ("source", "images", "images_sha256", "limit", "seed", "severities")} == {
        "source": "mine", "images": 4, "images_sha256": digest, "limit": 4, "seed": 7, "severities": [1, 2, 3, 4, 5]
    }  # fmt: skip
    assert read_manifest(folder).classes == tuple(manifest["classes"]) == tuple("abcdefghij")
    assert {"schema", "freqfast"} <= set(manifest)
    assert tuple(manifest["files"]) == files
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
        assert tuple(entry["shape"]) == np.load(folder / name).shape
    assert read_manifest(folder).corruptions == NAMES


def test_chunks_do_not_change_the_files(folder, tmp_path, images, monkeypatch):
    write_archive(folder, images, NAMES)
    monkeypatch.setattr(writing, "_CHUNK_BYTES", 2 * images.pixels[0].size)
    write_archive(tmp_path / "b", images, NAMES)
    assert data(folder) == data(tmp_path / "b")


@settings(max_examples=10)
@given(
    severities=st.lists(st.integers(1, 5), min_size=1),
    limit=st.none() | st.integers(1, 8),
    seed=st.integers(-(2**70), 2**70),
)
def test_written_archives_can_be_read(tmp_path_factory, photos, severities, limit, seed):
    folder = tmp_path_factory.mktemp("archive")
    images, labels = np.ascontiguousarray(photos[:3, :8, :8]), np.array([2, 0, 300])
    write_archive(folder, Images(images, labels), ("impulse_noise", "contrast"), severities, seed, limit=limit)
    source = stored_source(folder)
    names, cells = source.corruptions, list(cells_of(source))
    assert names == ("impulse_noise", "contrast")
    assert [(c.corruption, c.severity) for c in cells] == [(n, s) for n in names for s in sorted(set(severities))]
    for cell in cells:
        np.testing.assert_array_equal(cell.images, corrupt(images[:limit], cell.corruption, cell.severity, seed))
        np.testing.assert_array_equal(cell.labels, labels[:limit])


def test_corruptions_of_other_packages(folder, images, install):
    source = "def invert(images, severity, rng):\n    return 255 - images\n"
    install("corruptions", source, **dict.fromkeys(("invert", "../up", "labels"), "invert"))
    write_archive(folder, images, ("invert", "fog"), (3,))
    source = stored_source(folder)
    assert source.corruptions == ("fog", "invert")
    np.testing.assert_array_equal(cell_of(source, ("invert", 3)).images, 255 - images.pixels)
    for name in ("../up", "labels"):
        with pytest.raises(ValueError, match="cannot be stored"):
            write_archive(folder, images, (name,), (3,))


def test_progress(folder, images):
    calls = []
    write_archive(folder, images, NAMES, (1, 4), progress=lambda *call: calls.append(call))
    dones, totals, messages = zip(*calls, strict=True)
    assert set(totals) == {30}
    assert list(dones) == sorted(dones)
    assert (dones[0], dones[-1]) == (0, 30)
    assert [f"{name} {s}" for name in NAMES for s in (1, 4)] == [m for m in messages if m[-1].isdigit()]
    calls.clear()
    write_archive(folder, images, NAMES, (1, 4), progress=lambda *call: calls.append(call))
    assert [call[2] for call in calls] == ["verifying labels.npy", *(f"verifying {name}.npy" for name in NAMES)]


def of(shape, label=0):
    """Black images of one label."""
    return Images(np.zeros((*shape, 3), np.uint8), np.full(shape[0], label))


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"names": ()}, ValueError, "no corruption is named"),
        ({"names": ("rain",)}, ValueError, "'rain'"),
        ({"severities": ()}, ValueError, "got none"),
        ({"severities": (0, 1)}, ValueError, "got 0, 1"),
        ({"limit": 0}, ValueError, "limit must be at least 1, got 0"),
        ({"images": of((0, 8, 8))}, ValueError, "there are no images to corrupt"),
        ({"images": of((5, 6, 9))}, ValueError, "images must be at least 8 x 8 pixels, got 6 x 9"),
        ({"images": of((2, 8, 8), -1)}, ValueError, "labels must be class numbers, got -1 to -1"),
        ({"images": of((2, 8, 8), 2), "classes": "ab"}, ValueError, "class numbers, got 2 to 2 for 2 classes"),
        ({"classes": (*"abcdefghi", "caf\udce9")}, ValueError, r"'caf\\udce9' is not UTF-8, as manifest"),
        ({"source": "caf\udce9"}, ValueError, r"'caf\\udce9' is not UTF-8, as manifest"),
        ({"names": ("frost",), "frost_dir": "nowhere"}, FileNotFoundError, "frost1.png"),
    ],
)
def test_bad_requests_write_nothing(folder, images, change, error, named):
    with pytest.raises(error, match=named):
        write_archive(folder, **{"images": images, "names": NAMES} | change)
    assert not folder.exists()
    folder.parent.mkdir()
    folder.write_text("mine")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        write_archive(folder, images, NAMES)


def test_a_corruption_that_lacks_a_file_is_named(folder, images, monkeypatch):
    missing = FileNotFoundError(2, "No such file or directory", "textures/rain.png")
    monkeypatch.setattr(writing, "corrupt", Mock(side_effect=missing))
    with pytest.raises(ValueError, match=r"^corruption 'fog' cannot be computed: .* 'textures/rain.png'$"):
        write_archive(folder, images, ("fog",))
    assert sorted(data(folder)) == ["labels.npy"]

"""The stored layout, its manifest, and what is left when writing stops in the middle."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqfast.corruptions import CORRUPTIONS, archive, corrupt
from freqfast.corruptions.archive import write_archive
from freqfast.corruptions.manifest import read_manifest
from freqfast.robustness import stored_cells

NAMES = ("shot_noise", "fog", "contrast")


@pytest.fixture
def images(photos):
    return photos[:5]


@pytest.fixture
def labels():
    return np.array([3, 0, 9, 1, 3])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "corrupted"


def contents(folder):
    """Bytes, time and inode of every file: equal only if nothing was touched."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(folder.iterdir())}


def data(folder):
    return {name: content for name, (content, *_) in contents(folder).items() if name.endswith(".npy")}


def test_layout(folder, images, labels):
    done = write_archive(folder, images, labels, NAMES, seed=7)
    files = ("labels.npy", *(f"{name}.npy" for name in NAMES))
    assert (done.written, done.verified, done.damaged) == (files, (), {})
    assert sorted(p.name for p in folder.iterdir()) == sorted((*files, "manifest.json"))
    for name in NAMES:
        stored = np.load(folder / f"{name}.npy")
        assert stored.dtype == np.uint8
        np.testing.assert_array_equal(stored, np.concatenate([corrupt(images, name, s, 7) for s in range(1, 6)]))
    stored = np.load(folder / "labels.npy")
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, np.concatenate([labels] * 5))


def test_manifest(folder, images, labels):
    write_archive(folder, images, labels, ("fog",), seed=7, source="mine", limit=4)
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(images[:4].tobytes() + labels[:4].astype("<i8").tobytes()).hexdigest()
    assert {k: manifest[k] for k in ("source", "images", "images_sha256", "limit", "seed", "severities")} == {
        "source": "mine", "images": 4, "images_sha256": digest, "limit": 4, "seed": 7, "severities": [1, 2, 3, 4, 5]
    }  # fmt: skip
    assert {"schema", "freqfast"} <= set(manifest)
    assert list(manifest["files"]) == ["labels.npy", "fog.npy"]
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
        assert tuple(entry["shape"]) == np.load(folder / name).shape
    assert read_manifest(folder).corruptions == ("fog",)


def test_all_19_in_full(folder, images, labels, frost_dir):
    write_archive(folder, images[:1], labels[:1], frost_dir=frost_dir)
    names, cells = stored_cells(folder)
    assert tuple(names) == CORRUPTIONS
    assert len(list(cells)) == 95


def test_some_images_at_a_time_are_the_same_bytes(folder, tmp_path, images, labels, monkeypatch):
    write_archive(folder, images, labels, NAMES)
    monkeypatch.setattr(archive, "_CHUNK_BYTES", 2 * images[0].size)
    write_archive(tmp_path / "b", images, labels, NAMES)
    assert data(folder) == data(tmp_path / "b")


@settings(max_examples=20)
@given(
    severities=st.lists(st.integers(1, 5), min_size=1),
    limit=st.none() | st.integers(1, 8),
    seed=st.integers(-(2**70), 2**70),
)
def test_what_is_written_can_be_evaluated(tmp_path_factory, photos, severities, limit, seed):
    folder = tmp_path_factory.mktemp("archive")
    images, labels = photos[:3, :8, :8], np.array([2, 0, 300])
    write_archive(folder, images, labels, ("impulse_noise", "contrast"), severities, seed, limit=limit)
    names, cells = stored_cells(folder)
    cells = list(cells)
    assert names == ["impulse_noise", "contrast"]
    assert [(c.corruption, c.severity) for c in cells] == [(n, s) for n in names for s in sorted(set(severities))]
    for cell in cells:
        np.testing.assert_array_equal(cell.images, corrupt(images[:limit], cell.corruption, cell.severity, seed))
        np.testing.assert_array_equal(cell.labels, labels[:limit])


def test_corruptions_of_other_packages(folder, images, labels, monkeypatch, tmp_path):
    (tmp_path / "stored_corruptions.py").write_text("def invert(images, severity, rng):\n    return 255 - images\n")
    info = tmp_path / "stored_corruptions-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stored-corruptions\nVersion: 1\n")
    entries = (
        "invert = stored_corruptions:invert\n../up = stored_corruptions:invert\nlabels = stored_corruptions:invert"
    )
    (info / "entry_points.txt").write_text(f"[freqfast.corruptions]\n{entries}\n")
    monkeypatch.syspath_prepend(tmp_path)
    write_archive(folder, images, labels, ("invert", "fog"), (3,))
    names, cells = stored_cells(folder)
    assert names == ["fog", "invert"]
    np.testing.assert_array_equal(list(cells)[1].images, 255 - images)
    for name in ("../up", "labels"):
        with pytest.raises(ValueError, match="cannot be stored"):
            write_archive(folder, images, labels, (name,), (3,))


# A second call


def test_sound_files_are_verified_and_left_alone(folder, images, labels):
    write_archive(folder, images, labels, NAMES)
    before = contents(folder)
    done = write_archive(folder, images, labels, NAMES, limit=len(images))
    assert (done.written, len(done.verified)) == ((), 4)
    assert contents(folder) == before


def test_what_is_missing_is_made(folder, images, labels):
    write_archive(folder, images, labels, NAMES)
    before = contents(folder)
    (folder / "fog.npy").unlink()
    done = write_archive(folder, images, labels, (*NAMES, "snow"))
    assert (done.written, done.damaged) == (("fog.npy", "snow.npy"), {})
    after = contents(folder)
    assert after["fog.npy"][0] == before["fog.npy"][0]
    assert after["contrast.npy"] == before["contrast.npy"]
    assert read_manifest(folder).corruptions == ("shot_noise", "snow", "fog", "contrast")


@pytest.mark.parametrize("name", ["fog.npy", "labels.npy"])
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda b: b[:-1], "bytes, not"),
        (lambda b: b + b"\0", "bytes, not"),
        (lambda b: b"", "it had 0 bytes"),
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "content had changed"),
    ],
    ids=["cut", "longer", "empty", "one bit"],
)
def test_damaged_files_are_made_anew(folder, images, labels, name, damage, fault):
    write_archive(folder, images, labels, NAMES)
    sound = data(folder)
    (folder / name).write_bytes(damage(sound[name]))
    done = write_archive(folder, images, labels, NAMES)
    assert done.written == (name,)
    assert fault in done.damaged[name]
    assert data(folder) == sound


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"limit": 4}, "limit None, not 4"),
        ({"severities": (5, 2)}, "severities 1, 2, 3, 4, 5, not 2, 5"),
        ({"source": "other"}, "source mine, not other"),
        ({"seed": 1, "limit": 4}, "seed 0, not 1; limit None, not 4"),
        ({"images": np.zeros((5, 32, 32, 3), np.uint8)}, "other images or labels"),
        ({"labels": np.zeros(5, int)}, "other images or labels"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_touch_nothing(folder, images, labels, change, named):
    settings = {"images": images, "labels": labels, "names": NAMES, "source": "mine"}
    write_archive(folder, **settings)
    (folder / "fog.npy").unlink()
    before = contents(folder)
    with pytest.raises(ValueError, match=f"was begun with .*{named}") as caught:
        write_archive(folder, **settings | change)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("name", ["fog.npy", "labels.npy"])
def test_files_of_others_are_never_replaced(folder, images, labels, begun, name):
    folder.mkdir(parents=True)
    if begun:
        write_archive(folder, images, labels, ("contrast",))
        (folder / "fog.npy").write_bytes(b"mine")
        name = "fog.npy"
    else:
        (folder / name).write_bytes(b"mine")
    before = contents(folder)
    with pytest.raises(ValueError, match=f"{name} is there, but not by freqfast"):
        write_archive(folder, images, labels, NAMES)
    assert contents(folder) == before


MANIFESTS = {
    "empty": b"",
    "text": b"hello\nworld",
    "binary": bytes(range(256)),
    "list": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "another": b'{"schema": "other", "files": {}}',
    "bare": b'{"schema": "freqfast-corruptions-1"}',
}
FIELDS = {
    "severities": [[], [6], [2, 1], [1, 1], 3, None, ["1"]],
    "images": [0, -1, "5", None, 2.5],
    "files": [None, [], {"../fog.npy": {}}, {"fog.txt": {}}, {"fog.npy": {}}, {"fog.npy": {"run": "x"}}],
}


def unsound():
    yield from MANIFESTS.items()
    yield from ((f"{key} {value}", (key, value)) for key, values in FIELDS.items() for value in values)


@pytest.mark.parametrize("manifest", [m for _, m in unsound()], ids=[name for name, _ in unsound()])
def test_unsound_manifest_is_named(folder, images, labels, manifest):
    write_archive(folder, images[:1], labels[:1], ("contrast",))
    path = folder / "manifest.json"
    if isinstance(manifest, tuple):
        key, value = manifest
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    else:
        path.write_bytes(manifest)
    before = contents(folder)
    for call in (lambda: write_archive(folder, images[:1], labels[:1], ("contrast",)), lambda: stored_cells(folder)):
        with pytest.raises(ValueError, match=r"manifest\.json is not a manifest of freqfast corrupt") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert contents(folder) == before


# Writing that stops


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_interrupted_in_the_middle_and_continued(folder, tmp_path, images, labels, stop):
    def progress(done, total, message):
        if message == "fog 3":
            raise stop

    with pytest.raises(stop):
        write_archive(folder, images, labels, NAMES, progress=progress)
    assert sorted(p.name for p in folder.iterdir()) == ["labels.npy", "manifest.json", "shot_noise.npy"]
    done = write_archive(folder, images, labels, NAMES)
    assert done.written == ("fog.npy", "contrast.npy")
    write_archive(tmp_path / "at once", images, labels, NAMES)
    assert data(folder) == data(tmp_path / "at once")


def test_a_full_disk_leaves_whole_files_only(folder, images, labels):
    """A limit on the size of files stands in for the disk: both refuse in the middle of a write."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(
            OSError, match=r"shot_noise\.npy cannot be written \(File too large\); what is done"
        ) as caught:
            write_archive(folder, images, labels, NAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in folder.iterdir()) == ["labels.npy", "manifest.json"]
    assert write_archive(folder, images, labels, NAMES).verified == ("labels.npy",)


def test_no_room_for_the_manifest(folder, images, labels, monkeypatch):
    monkeypatch.setattr("os.fsync", refuse := Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"manifest\.json cannot be written \(No space left on device\); what") as caught:
        write_archive(folder, images, labels, NAMES)
    assert refuse.called
    assert caught.value.errno is None  # the command ends with 2, as for any other full disk
    assert list(folder.iterdir()) == []


KILLED = """
import os, signal, sys
import numpy as np
from freqfast.corruptions.archive import write_archive

def progress(done, total, message):
    if message == "fog 3":
        os.kill(os.getpid(), signal.SIGKILL)

images, labels = np.load(sys.argv[2]), np.array([3, 0, 9, 1, 3])
write_archive(sys.argv[1], images, labels, ("shot_noise", "fog", "contrast"), progress=progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_killed_in_the_middle_and_continued(folder, tmp_path, images, labels):
    np.save(tmp_path / "images.npy", images)
    call = [sys.executable, "-c", KILLED, folder, tmp_path / "images.npy"]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
    left = [p.name for p in folder.iterdir() if p.name.startswith(".fog.npy.")]
    assert len(left) == 1
    mine = folder / ".contrast.tmp"
    mine.write_text("mine")
    done = write_archive(folder, images, labels, NAMES)
    assert (done.written, done.verified) == (("fog.npy", "contrast.npy"), ("labels.npy", "shot_noise.npy"))
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == [mine.name]
    write_archive(tmp_path / "at once", images, labels, NAMES)
    assert data(folder) == data(tmp_path / "at once")


def test_stopped_between_manifest_and_name(folder, images, labels, monkeypatch):
    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda a, b: 1 / 0 if "fog" in str(b) else replace(a, b))
        with pytest.raises(ZeroDivisionError):
            write_archive(folder, images, labels, NAMES)
    assert not (folder / "fog.npy").exists()
    assert "fog.npy" in read_manifest(folder).files
    done = write_archive(folder, images, labels, NAMES)
    assert (done.written, done.damaged) == (("fog.npy", "contrast.npy"), {})


def test_progress(folder, images, labels):
    calls = []
    write_archive(folder, images, labels, NAMES, (1, 4), progress=lambda *call: calls.append(call))
    dones, totals, messages = zip(*calls, strict=True)
    assert set(totals) == {30}
    assert list(dones) == sorted(dones)
    assert (dones[0], dones[-1]) == (0, 30)
    assert [f"{name} {s}" for name in NAMES for s in (1, 4)] == [m for m in messages if m[-1].isdigit()]
    calls.clear()
    write_archive(folder, images, labels, NAMES, (1, 4), progress=lambda *call: calls.append(call))
    assert [call[2] for call in calls] == ["verifying labels.npy", *(f"verifying {name}.npy" for name in NAMES)]


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"names": ()}, ValueError, "no corruption is named"),
        ({"names": ("rain",)}, ValueError, "'rain'"),
        ({"severities": ()}, ValueError, "got none"),
        ({"severities": (0, 1)}, ValueError, "got 0, 1"),
        ({"severities": (6,)}, ValueError, "got 6"),
        ({"limit": 0}, ValueError, "limit must be at least 1, got 0"),
        ({"limit": -1}, ValueError, "got -1"),
        ({"images": np.zeros((5, 8, 8, 3))}, ValueError, "images must be uint8"),
        ({"images": np.zeros((5, 8, 8), np.uint8)}, ValueError, "images must be uint8"),
        ({"images": np.zeros((0, 8, 8, 3), np.uint8), "labels": np.zeros(0, int)}, ValueError, "images must be"),
        ({"labels": np.zeros(4, int)}, ValueError, "labels must be 5 integers"),
        ({"labels": np.zeros(5)}, ValueError, "labels must be 5 integers"),
        ({"labels": np.full(5, -1)}, ValueError, "labels must be 5 integers"),
        ({"names": ("frost",), "frost_dir": "nowhere"}, FileNotFoundError, "frost1.png"),
    ],
)
def test_bad_requests_write_nothing(folder, images, labels, change, error, named):
    with pytest.raises(error, match=named):
        write_archive(folder, **{"images": images, "labels": labels, "names": NAMES} | change)
    assert not folder.exists()


def test_a_file_in_the_folder_s_place(tmp_path, images, labels):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        write_archive(tmp_path / "file", images, labels, NAMES)

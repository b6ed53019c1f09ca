"""Writing where something is stored already: sound, damaged, of other settings, of others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.robustness.archive.manifest import read_manifest
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import write_archive
from tests.support.stored import NAMES, contents, data


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
        ({"limit": 4}, "limit none, not 4"),
        ({"severities": (5, 2)}, "severities 1, 2, 3, 4, 5, not 2, 5"),
        ({"source": "other"}, "source mine, not other"),
        ({"seed": 1, "limit": 4}, "seed 0, not 1; limit none, not 4"),
        ({"images": np.zeros((5, 32, 32, 3), np.uint8)}, "other images or labels"),
        ({"labels": np.zeros(5, int)}, "other images or labels"),
        ({"classes": list("zyxwvutsrq")}, "other names of classes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_touch_nothing(folder, images, labels, change, named):
    settings = {"images": images, "labels": labels, "names": NAMES, "source": "mine", "classes": "abcdefghij"}
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


def test_two_at_once(folder, images, labels):
    refusals = []

    def meanwhile(done, total, message):
        if message == "fog 3":
            (temporary,) = folder.glob(".fog.npy.*.tmp")
            with pytest.raises(BlockingIOError, match="is in use by another process; wait for its end") as caught:
                write_archive(folder, images, labels, ("fog", "snow"))
            assert temporary.exists()
            refusals.append(str(caught.value))

    write_archive(folder, images, labels, NAMES, progress=meanwhile)
    assert len(refusals) == 1
    assert "\n" not in refusals[0]
    assert read_manifest(folder).corruptions == NAMES
    assert write_archive(folder, images, labels, (*NAMES, "snow")).written == ("snow.npy",)


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
    "classes": [[], "abc", [1, 2], {"a": 0}],
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
    for call in (lambda: write_archive(folder, images[:1], labels[:1], ("contrast",)), lambda: stored_source(folder)):
        with pytest.raises(ValueError, match=r"manifest\.json is not a manifest of freqfast corrupt") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert contents(folder) == before


WRITTEN = ("schema", "source", "images", "images_sha256", "limit", "seed", "severities", "files", "classes")
ABOUT_A_FILE = ("sha256", "bytes", "shape", "freqfast", "photographs")


@pytest.mark.parametrize("key", [*WRITTEN, *ABOUT_A_FILE])
def test_a_manifest_that_lacks_a_key_is_named(folder, images, labels, key):
    write_archive(folder, images[:1], labels[:1], ("contrast",))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del (manifest if key in WRITTEN else manifest["files"]["contrast.npy"])[key]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"manifest\.json is not a manifest of freqfast corrupt \(.*'{key}'\); move"):
        stored_source(folder)


def test_frost_of_other_photographs_is_refused(folder, tmp_path, images, labels, frost_dir):
    write_archive(folder, images, labels, ("frost",), (3,), frost_dir=frost_dir)
    same, other = (Path(shutil.copytree(frost_dir, tmp_path / name)) for name in ("same", "other"))
    Image.new("RGB", (400, 300), "white").save(other / "frost4.jpg")
    before = contents(folder)
    assert write_archive(folder, images, labels, ("frost",), (3,), frost_dir=same).written == ()
    with pytest.raises(ValueError, match="was begun with other photographs of frost; keep its settings or choose"):
        write_archive(folder, images, labels, ("frost", "fog"), (3,), frost_dir=other)
    assert contents(folder) == before
    assert write_archive(folder, images, labels, ("fog",), (3,), frost_dir=other).written == ("fog.npy",)

"""Writing where something is stored already: sound, damaged, of other settings, of others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.data.images import Images
from freqfast.robustness.archive.layout import read_manifest
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import write_archive
from tests.support.stored import NAMES, contents, data


def test_missing_files_are_made(folder, images):
    write_archive(folder, images, NAMES)
    before = contents(folder)
    (folder / "fog.npy").unlink()
    done = write_archive(folder, images, (*NAMES, "snow"))
    assert (done.written, done.damaged) == (("fog.npy", "snow.npy"), {})
    after = contents(folder)
    assert after["fog.npy"][0] == before["fog.npy"][0]
    assert after["contrast.npy"] == before["contrast.npy"]
    assert read_manifest(folder).corruptions == ("shot_noise", "snow", "fog", "contrast")


@pytest.mark.parametrize(
    ("name", "damage", "fault"),
    [
        ("fog.npy", lambda b: b[:-1], "bytes, not"),
        ("labels.npy", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "content had changed"),
    ],
    ids=["cut", "one bit"],
)
def test_damaged_files_are_made_anew(folder, images, name, damage, fault):
    write_archive(folder, images, NAMES)
    sound = data(folder)
    (folder / name).write_bytes(damage(sound[name]))
    done = write_archive(folder, images, NAMES)
    assert done.written == (name,)
    assert fault in done.damaged[name]
    assert data(folder) == sound


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"limit": 4}, "limit none, not 4"),
        ({"severities": (5, 2)}, r"severities \[1, 2, 3, 4, 5\], not \[2, 5\]"),
        ({"source": "other", "seed": 1}, "source mine, not other; seed 0, not 1"),
        ({"images": Images(np.zeros((5, 32, 32, 3), np.uint8), np.zeros(5, int))}, "other images or labels"),
        ({"classes": list("zyxwvutsrq")}, "other names of classes"),
        ({"table": "imagenet"}, "table cifar10, not imagenet"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_touch_nothing(folder, images, change, named):
    settings = {"images": images, "names": NAMES, "source": "mine", "classes": "abcdefghij"}
    write_archive(folder, **settings)
    (folder / "fog.npy").unlink()
    before = contents(folder)
    with pytest.raises(ValueError, match=f"was begun with .*{named}") as caught:
        write_archive(folder, **settings | change)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize(("begun", "name"), [(True, "fog.npy"), (False, "labels.npy")])
def test_files_of_others_are_never_replaced(folder, images, begun, name):
    folder.mkdir(parents=True)
    if begun:
        write_archive(folder, images, ("contrast",))
    (folder / name).write_bytes(b"mine")
    before = contents(folder)
    with pytest.raises(ValueError, match=f"{name} is there, but not in the manifest"):
        write_archive(folder, images, NAMES)
    assert contents(folder) == before


def test_two_at_once(folder, images):
    refusals = []

    def meanwhile(done, total, message):
        if message == "fog 3":
            (temporary,) = folder.glob(".fog.npy.*.tmp")
            with pytest.raises(BlockingIOError, match="is in use by another process; wait for its end") as caught:
                write_archive(folder, images, ("fog", "snow"))
            assert temporary.exists()
            refusals.append(str(caught.value))

    write_archive(folder, images, NAMES, progress=meanwhile)
    assert len(refusals) == 1
    assert "\n" not in refusals[0]
    assert read_manifest(folder).corruptions == NAMES
    assert write_archive(folder, images, (*NAMES, "snow")).written == ("snow.npy",)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"hello", "is not valid JSON"),
        (b"[]", "must hold a table"),
        ({"schema": "other"}, "schema 'other' is not the one"),
        ({"limit": ...}, "limit is missing"),
        ({"severities": []}, "severities must be some of 1, 2, 3, 4 and 5, ascending"),
        ({"classes": []}, "classes "),
        ({"files": {"../fog.npy": {}}}, "files.../fog.npy String should match"),
    ],
    ids=str,
)
def test_unsound_manifest_is_named(folder, images, manifest, message):
    write_archive(folder, images[:1], ("contrast",))
    path = folder / "manifest.json"
    if isinstance(manifest, dict):
        values = json.loads(path.read_text()) | manifest
        path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))
    else:
        path.write_bytes(manifest)
    before = contents(folder)
    for call in (lambda: write_archive(folder, images[:1], ("contrast",)), lambda: stored_source(folder)):
        with pytest.raises(ValueError, match=rf"manifest\.json.*{message}") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert contents(folder) == before


def test_frost_of_other_photographs_is_refused(folder, tmp_path, images, frost_dir):
    write_archive(folder, images, ("frost",), (3,), frost_dir=frost_dir)
    same, other = (Path(shutil.copytree(frost_dir, tmp_path / name)) for name in ("same", "other"))
    Image.new("RGB", (400, 300), "white").save(other / "frost4.jpg")
    before = contents(folder)
    assert write_archive(folder, images, ("frost",), (3,), frost_dir=same).written == ()
    with pytest.raises(ValueError, match="was begun with other photographs of frost; keep its settings or choose"):
        write_archive(folder, images, ("frost", "fog"), (3,), frost_dir=other)
    assert contents(folder) == before
    assert write_archive(folder, images, ("fog",), (3,), frost_dir=other).written == ("fog.npy",)

import hashlib
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest

from freqfast.data.cifar10 import CLASSES
from freqfast.robustness import evaluate_source
from freqfast.robustness.archive.layout import Manifest, write_manifest
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import write_archive
from tests.support.cells import cell_of, cells_of
from tests.support.networks import classifier_of


def test_cells_of_a_folder(archive):
    (archive / "notes.npy").write_bytes(b"no corruption's images")
    source = stored_source(str(archive))
    names, cells = source.corruptions, list(cells_of(source))
    assert names == ("shot_noise", "fog", "saturate")  # in the order of the benchmark's tables
    assert [(c.corruption, c.severity) for c in cells] == [(name, s) for name in names for s in (1, 2, 3, 4, 5)]
    assert cells[1].images[:, 0, 0, 0].tolist() == [96, 97, 98, 99]
    assert cells[9].images[:, 3, 3, 2].tolist() == [80, 81, 82, 83]
    assert all(c.labels.tolist() == [3, 1, 2, 0] and c.labels.dtype == np.int64 for c in cells)


def test_limit_takes_the_start_of_every_block(archive):
    for limit, expected in ((1, 1), (3, 3), (99, 4)):
        source = stored_source(archive, limit)
        for cell in cells_of(source):
            assert isinstance(cell.images, np.memmap)  # mapped, not read
            assert len(cell.images) == len(cell.labels) == expected
            assert cell.images[0, 0, 0, 0] % 8 == 0
            assert cell.labels[0] == 3
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        stored_source(archive, 0)


def test_integers_of_any_kind_and_fortran_order(archive, model):
    for path in archive.glob("*.npy"):
        np.save(path, np.asfortranarray(np.load(path)))
    np.save(archive / "labels.npy", np.tile([3, 1, 2, 0], 5).astype(">i4"))
    assert stored_source(archive).labels.tolist() == [3, 1, 2, 0]
    source = stored_source(archive)
    assert [cell_of(source, ("fog", severity)).images[1, 2, 2, 2] for severity in source.severities] == [
        49,
        57,
        65,
        73,
        81,
    ]
    evaluate_source([classifier_of(model, (0,) * 3, (1,) * 3)], source)


def test_a_manifest_says_which_severities_there_are(archive):
    manifest = Manifest("mine", 5, "", None, 0, (1, 2, 4, 5), {})
    write_manifest(archive, manifest)  # twenty images: four blocks of five now
    np.save(archive / "labels.npy", np.tile(np.arange(5), 4))
    source = stored_source(archive)
    assert source.severities == (1, 2, 4, 5)
    blocks = [cell_of(source, ("shot_noise", severity)).images for severity in source.severities]
    assert [(len(images), images[0, 0, 0, 0]) for images in blocks] == [(5, 88), (5, 97), (5, 106), (5, 115)]
    write_manifest(archive, replace(manifest, severities=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"labels\.npy must hold integers, a multiple of 3 of them, got"):
        stored_source(archive)


def test_the_manifest_describes_the_source(archive):
    manifest = Manifest("mine", 4, "", None, 7, (1, 2, 3, 4, 5), classes=tuple("abcd"))
    write_manifest(archive, manifest)
    source = stored_source(archive, 2, ["fog"])
    assert (source.corruptions, source.seed, source.classes) == (("fog",), 7, tuple("abcd"))
    assert source.sha256 == hashlib.sha256((archive / "manifest.json").read_bytes()).hexdigest()
    assert source.labels.tolist() == [3, 1]
    (archive / "manifest.json").unlink()
    source = stored_source(archive)
    assert source.name == str(archive)
    assert (source.seed, source.classes) == (None, None)
    write_manifest(archive, replace(manifest, classes=None))
    assert stored_source(archive).classes is None


@pytest.mark.parametrize(
    ("classes", "side", "left_out", "known"),
    [(10, 32, "saturate", CLASSES), (9, 32, "saturate", None), (10, 28, "saturate", None), (10, 32, "fog", None)],
)
def test_cifar10_is_known_by_its_labels_its_size_and_its_files(tmp_path, all_names, classes, side, left_out, known):
    np.save(tmp_path / "labels.npy", np.tile(np.random.default_rng(0).permutation(np.arange(10_000) % classes), 5))
    shape = (50_000, side, side, 3)
    np.lib.format.open_memmap(tmp_path / "images", "w+", np.uint8, shape)  # without content it takes no room
    for name in set(all_names) - {left_out}:
        (tmp_path / f"{name}.npy").hardlink_to(tmp_path / "images")
    assert stored_source(tmp_path, 3).classes == known


def test_corruptions_without_a_manifest(archive):
    for name in ("perlin_noise", "mine"):
        shutil.copy(archive / "fog.npy", archive / f"{name}.npy")
    assert stored_source(archive).corruptions == ("shot_noise", "fog", "saturate", "perlin_noise")
    assert stored_source(archive, required=["mine", "fog"]).corruptions == ("mine", "fog")


def test_one_file_is_mapped_at_a_time(archive):
    alive, source = [], stored_source(archive)
    for cell in cells_of(source):
        alive.append(weakref.ref(cell.images.base if isinstance(cell.images.base, np.ndarray) else cell.images))
        del cell
        assert sum(reference() is not None for reference in alive[:-5]) == 0


def test_missing_files_are_named(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no snow; it holds shot_noise, fog, saturate"):
        stored_source(archive, None, ["fog", "snow"])
    message = r"holds none of the corruptions looked for; the first is snow\.npy"
    with pytest.raises(FileNotFoundError, match=message):
        stored_source(archive, only=["snow", "frost"])
    with pytest.raises(FileNotFoundError, match=r"absent is not a folder; name one that holds labels\.npy"):
        stored_source(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"labels\.npy is not a folder"):
        stored_source(archive / "labels.npy")
    (archive / "labels.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.npy does not exist; .*, one with <corruption>/<sev"):
        stored_source(archive)


def test_folders_without_manifest_are_told_apart_by_their_images(archive, tmp_path):
    copy = shutil.copytree(archive, tmp_path / "copy")
    assert stored_source(archive).sha256 == stored_source(copy, limit=2).sha256
    fog = np.load(copy / "fog.npy")
    fog[8] += 1  # the first image of severity 3
    np.save(copy / "fog.npy", fog)
    assert stored_source(archive).sha256 != stored_source(copy).sha256
    assert stored_source(archive, required=["saturate"]).sha256 == stored_source(copy, None, ["saturate"]).sha256


@pytest.mark.parametrize("damage", ["two files change places", "a pixel", "a label"])
def test_files_that_are_not_the_manifests(damage, images, folder, model):
    write_archive(folder, images, ["fog", "contrast"], source="photos")
    fog, contrast = folder / "fog.npy", folder / "contrast.npy"
    if damage == "two files change places":
        content = fog.read_bytes()
        fog.write_bytes(contrast.read_bytes())
        contrast.write_bytes(content)
    else:
        path = folder / "labels.npy" if damage == "a label" else fog
        content = bytearray(path.read_bytes())
        content[-8] ^= 1
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"(fog|labels)\.npy is not the file of manifest\.json \(its content"):
        evaluate_source([classifier_of(model, (0,) * 3, (1,) * 3)], stored_source(folder))

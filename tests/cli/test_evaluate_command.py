import json

import numpy as np
import pytest

from freqfast.robustness import Classifier
from freqfast.run import load_checkpoint

MEASURED = ["fog", "contrast"]


def expected(checkpoint, archive, limit=4):
    """Accuracy of every cell, by plain NumPy around the float32 model."""
    loaded = load_checkpoint(checkpoint)
    classifier = Classifier(loaded.model, loaded.mean, loaded.std, precision="float32")
    labels = np.load(archive / "labels.npy")
    return {
        name: {
            str(s + 1): float((classifier.predict(images[4 * s :][:limit]) == labels[:limit]).mean()) for s in range(5)
        }
        for name, images in ((name, np.load(archive / f"{name}.npy")) for name in MEASURED)
    }


def test_table(call, checkpoint, archive):
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--precision", "float32")
    assert result.code == 0, result.err
    accuracy = expected(checkpoint, archive)
    lines = result.out.splitlines()
    for name, by in accuracy.items():
        (row,) = [line for line in lines if f" {name} " in line and "│" in line]
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        values = [100 * a for a in by.values()]
        assert cells == [name, *(f"{value:.2f}" for value in (*values, np.mean(values)))]
    assert "mean15: -" in lines
    assert "mean19: -" in lines
    overall = np.mean([list(by.values()) for by in accuracy.values()])
    assert f"all measured: {100 * overall:.2f} %" in lines
    assert lines[-1].startswith(f"not in {archive}: gaussian_noise, shot_noise")
    assert "fog" not in lines[-1]


@pytest.mark.parametrize("limit", [None, 1, 3, 100])
def test_json_holds_fractions_and_nothing_else_is_printed(call, checkpoint, archive, limit):
    words = [] if limit is None else ["--limit", limit]
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--precision", "float32", "--json", *words)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["accuracy"] == expected(checkpoint, archive, min(limit or 4, 4))
    assert report["images"] == min(limit or 4, 4)
    assert report["mean15"] is None
    assert report["corrupted"] == pytest.approx(np.mean([list(by.values()) for by in report["accuracy"].values()]))
    assert len(report["missing"]) == 17


def test_a_complete_archive_has_both_means(call, checkpoint, archive):
    from freqfast.corruptions import CORRUPTIONS

    for name in CORRUPTIONS:
        np.save(archive / f"{name}.npy", np.load(archive / "fog.npy"))
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--json")
    report = json.loads(result.out)
    assert report["missing"] == []
    assert report["mean15"] == pytest.approx(report["mean19"])
    assert report["mean15"] == pytest.approx(np.mean(list(report["accuracy"]["fog"].values())))
    assert "not in" not in call("evaluate", checkpoint, "--cifar10c", archive).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--limit", "0"), "limit must be at least 1, got 0"),
        (("--limit", "-5"), "limit must be at least 1, got -5"),
        (("--device", "abacus"), "device 'abacus' is not available here"),
        (("--precision", "half"), "precision must be one of auto, bfloat16, float32, got 'half'"),
    ],
)
def test_wrong_options(refused, checkpoint, archive, words, message):
    assert message in refused("evaluate", checkpoint, "--cifar10c", archive, *words)


def test_missing_files_are_named(refused, checkpoint, archive, place):
    assert "absent does not exist; name a run directory or" in refused("evaluate", "absent", "--cifar10c", archive)
    assert "absent is not a folder" in refused("evaluate", checkpoint, "--cifar10c", "absent")
    assert "model.safetensors does not exist" in refused("evaluate", place, "--cifar10c", archive)
    (archive / "labels.npy").unlink()
    assert "labels.npy is missing" in refused("evaluate", checkpoint, "--cifar10c", archive)


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04N."])
def test_damaged_array_is_named(refused, checkpoint, archive, name, content):
    (archive / f"{name}.npy").write_bytes(content)
    assert f"{name}.npy is not a sound .npy array" in refused("evaluate", checkpoint, "--cifar10c", archive)


def test_array_of_another_length_is_named(refused, checkpoint, archive):
    np.save(archive / "fog.npy", np.zeros((10, 16, 16, 3), np.uint8))
    assert "fog.npy must be uint8 of shape (20, H, W, 3)" in refused("evaluate", checkpoint, "--cifar10c", archive)


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 64])
def test_damaged_checkpoint_is_named(refused, checkpoint, archive, content):
    checkpoint.write_bytes(content)
    assert "model.safetensors is not a sound safetensors file" in refused("evaluate", checkpoint, "--cifar10c", archive)

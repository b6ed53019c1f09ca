"""What `freqfast evaluate` refuses: wrong options, and files that are missing, damaged or of another kind."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--limit", "0"), "limit must be at least 1, got 0"),
        (("--limit", "-5"), "limit must be at least 1, got -5"),
        (
            ("--device", "abacus"),
            "device 'abacus' is not available here: devices are cpu, cuda, cuda:N and mps (av",
        ),
        (("--precision", "half"), "'half' is not one of 'auto', 'bfloat16', 'float32'"),
        (("--mean", "0.5,0.5"), "--mean 0.5,0.5: write three numbers such as 0.49,0.48,0.45"),
        (("--std", "a,b,c"), "--std a,b,c: write three numbers"),
        (("--std", "0,1,1"), "mean and std must be three finite numbers each, std positive"),
        (("--mean", "125,122,114"), "mean must lie in [0, 1] and std in (0, 1], as pixels do, got 125,122,114 and"),
        (("--download",), "the images come from one place, got --cifar10c and --download"),
        (("--on-the-fly",), "the images come from one place, got --cifar10c and --on-the-fly"),
        (("--seed", "0"), "stored images have been corrupted already; leave out --seed"),
        (("--corruption", "snow"), "holds no snow; it holds fog, contrast"),
        (("--data", "absent"), "absent does not exist"),
        (("--shard", "1/2"), "--shard needs --out, the file to leave its part in"),
        (("--shard", "2", "--out", "x.json"), "--shard 2: write I/N, such as 1/4"),
        (("--shard", "3/2", "--out", "x.json"), "shard 3/2 is none: write i/n with 1 <= i <= n"),
        (("--shard", "1/2", "--out", "x.json", "--json"), "report with --merge; leave out --json"),
        (("--out", "."), ". is a folder; name a file"),
        (("--out", "result"), "cannot write result: its name must end in .json"),
        (("--csv", "no/such.csv"), "folder no does not exist; create it or choose another path"),
        (("--figure", "report.docx"), "cannot write report.docx: its name must end in .png or .svg or .pdf"),
        (("--baseline", "gone.json"), "gone.json is no file; name a result"),
        (("--baseline", "gone"), "gone does not exist; name a run directory"),
        (("--weights", "w.pth"), "has its own weights; leave out --weights w.pth"),
        (("--classes", "7"), "is built with the classes that it has; leave out --classes"),
    ],
)
def test_wrong_options(refused, checkpoint, archive, words, message):
    assert message in refused("evaluate", checkpoint, "--cifar10c", archive, *words)


def test_images_must_come_from_somewhere(refused, checkpoint):
    assert "pass --cifar10c PATH (a folder or CIFAR-10-C.tar), --download" in refused("evaluate", checkpoint)
    line = refused("evaluate", "r0.json", "--on-the-fly")
    assert line == "freqfast: r0.json is a result, not a model; pass --merge to report on it\n"
    line = refused("evaluate", "a", "b", "--on-the-fly")
    assert "one model at a time, got a, b; compare two with --baseline b, or put" in line


def test_missing_files_are_named(refused, checkpoint, archive, place):
    assert "absent does not exist; name a run directory," in refused("evaluate", "absent", "--cifar10c", archive)
    assert "absent is not a folder" in refused("evaluate", checkpoint, "--cifar10c", "absent")
    assert "model.safetensors does not exist" in refused("evaluate", place, "--cifar10c", archive)
    (archive / "labels.npy").unlink()
    assert "labels.npy is missing" in refused("evaluate", checkpoint, "--cifar10c", archive)


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04N."])
def test_damaged_array_is_named(refused, checkpoint, archive, name, content):
    (archive / f"{name}.npy").write_bytes(content)
    assert f"{name}.npy is not a sound .npy array" in refused("evaluate", checkpoint, "--cifar10c", archive)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 16, 16, 3), np.uint8), "fog.npy must be uint8 of shape (20, H, W, 3)"),
        (np.zeros((20, 16, 16, 3), np.float32), "got float32 of shape (20, 16, 16, 3)"),
        (np.zeros(20, object), "fog.npy is not a sound .npy array"),
    ],
)
def test_another_array_is_named(refused, checkpoint, archive, array, message):
    np.save(archive / "fog.npy", array, allow_pickle=True)
    assert message in refused("evaluate", checkpoint, "--cifar10c", archive)


def test_labels_beyond_the_logits_are_named(refused, checkpoint, archive):
    np.save(archive / "labels.npy", np.tile([0, 1, 2, 10], 5))
    line = refused("evaluate", checkpoint, "--cifar10c", archive)
    assert f"{checkpoint} gives 10 logits, but the labels run from 0 to 10" in line


def test_a_tar_that_is_not_the_published_one(refused, checkpoint, tmp_path):
    (tmp_path / "CIFAR-10-C.tar").write_bytes(b"not a tar")
    line = refused("evaluate", checkpoint, "--cifar10c", tmp_path / "CIFAR-10-C.tar")
    assert "is not the published CIFAR-10-C.tar: it has 9 bytes, not 2918471680" in line


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 64])
def test_damaged_checkpoint_is_named(refused, checkpoint, archive, content):
    checkpoint.write_bytes(content)
    assert "model.safetensors is not a sound safetensors file" in refused("evaluate", checkpoint, "--cifar10c", archive)


@pytest.mark.parametrize("words", [("--corruption", "fog"), ("--set", "bar")])
def test_photographs_that_nothing_needs(refused, checkpoint, words):
    line = refused("evaluate", checkpoint, "--on-the-fly", *words, "--frost-dir", "absent")
    assert "frost is not among the corruptions; leave out --frost-dir" in line


def test_photographs_that_are_not_there(refused, checkpoint):
    assert "no frost1.png" in refused("evaluate", checkpoint, "--on-the-fly", "--frost-dir", "absent")

import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.corruptions import corrupt
from freqfast.corruptions.manifest import Manifest, StoredFile, write_manifest
from freqfast.modulation import SpectralConv2d, apply_modulation
from freqfast.robustness import (
    Cell,
    Classifier,
    CorruptionReport,
    corrupted_cells,
    evaluate_cells,
    evaluate_images,
    stored_cells,
)

# The names as the published archive has them; written out here, since the tests must not believe the package.
MAIN = [
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
]
EXTRA = ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def noise(count, seed=0, size=8):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )
    model[1].running_mean.normal_(0, 0.3)
    model[1].running_var.uniform_(0.5, 2)
    return model


def plainly(model, images):
    """Classes in float64, image by image, straight from the definition."""
    model = model.double().eval()
    pixels = (images / 255 - np.array(MEAN)) / np.array(STD)
    with torch.no_grad():
        logits = torch.cat([model(torch.from_numpy(p.transpose(2, 0, 1)[None])) for p in pixels])
    model.float()
    return logits.argmax(1).numpy()


# Classifier


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000])
def test_float32_predictions_are_those_of_the_model(model, modulated, batch_size):
    if modulated:
        nn.init.normal_(apply_modulation(model)[0].log_gain)
    images = noise(40)
    found = Classifier(model, MEAN, STD, precision="float32", batch_size=batch_size).predict(images)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, plainly(model, images))


def test_bfloat16_predictions_nearly_so(model):
    images = noise(400)
    found = Classifier(model, MEAN, STD, precision="bfloat16").predict(images)
    assert (found == plainly(model, images)).mean() > 0.9


def test_the_model_itself_stays_as_it_was(model):
    apply_modulation(model).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier = Classifier(model, MEAN, STD, precision="bfloat16")
    classifier.predict(noise(3))
    assert model.training
    assert isinstance(model[0], SpectralConv2d)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(isinstance(module, SpectralConv2d) for module in classifier.model.modules())
    assert not classifier.model.training


def test_inputs_are_channels_last_and_normalised(model):
    classifier = Classifier(model, MEAN, STD, precision="float32")
    images = noise(5)
    seen = []
    classifier.model.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    classifier.predict(images)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    expected = ((images / 255 - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=2e-6)


def test_progress_counts_images(model):
    calls = []
    Classifier(model, MEAN, STD, batch_size=4).predict(noise(10), calls.append)
    assert calls == [4, 8, 10]


def test_images_are_neither_changed_nor_needed_writable(model):
    images = noise(4)
    before = images.copy()
    images.flags.writeable = False
    Classifier(model, MEAN, STD).predict(images)
    np.testing.assert_array_equal(images, before)


def test_unknown_device_and_precision(model):
    with pytest.raises(ValueError, match="device 'abacus' is not available here"):
        Classifier(model, MEAN, STD, device="abacus")
    with pytest.raises(ValueError, match="precision must be one of"):
        Classifier(model, MEAN, STD, precision="float8")


class Brightness(nn.Module):
    """Calls an image bright (1) or dark (0); right answers need no training."""

    def __init__(self):
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        bright = images.mean((1, 2, 3)) - self.middle
        return torch.stack([-bright, bright], 1)


@pytest.fixture
def bright():
    return Classifier(Brightness(), (0, 0, 0), (1, 1, 1), precision="float32")


def grey(*levels):
    return np.array(levels, np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)


def test_evaluate_images_says_which_are_right(bright):
    correct = evaluate_images(bright, grey(0, 255, 100, 200), np.array([0, 0, 1, 1]))
    assert correct.dtype == bool
    assert correct.tolist() == [True, False, False, True]


def test_evaluate_cells(bright):
    cells = [
        Cell("fog", 1, grey(0, 255), np.array([0, 1])),
        Cell("fog", 5, grey(0, 255), np.array([0, 0])),
        Cell("snow", 2, grey(0, 255), np.array([1, 0])),
    ]
    calls = []
    report = evaluate_cells(bright, iter(cells), 3, 0.75, lambda *call: calls.append(call))
    assert report == CorruptionReport({"fog": {1: 1.0, 5: 0.5}, "snow": {2: 0.0}}, 2, 0.75)
    assert calls == [(1, 3, "fog 1"), (2, 3, "fog 5"), (3, 3, "snow 2")]


# The report's arithmetic


def full(value_of):
    return {name: {s: value_of(i, s) for s in range(1, 6)} for i, name in enumerate(MAIN + EXTRA)}


def test_means_by_hand():
    report = CorruptionReport(full(lambda i, s: (i + s / 10) / 20), 100, 0.9)
    # Severities 1..5 average to 0.3; corruptions 0..14 to 7, and 0..18 to 9.
    assert report.mean15 == pytest.approx(7.3 / 20)
    assert report.mean19 == pytest.approx(9.3 / 20)
    assert report.mean() == report.mean19
    assert report.mean(["fog"]) == pytest.approx(9.3 / 20)
    assert report.families == pytest.approx(
        {"noise": 1.3 / 20, "blur": 4.8 / 20, "weather": 8.8 / 20, "digital": 12.8 / 20}
    )
    assert report.missing == []


def test_extra_corruptions_stay_out_of_mean15_and_families():
    report = CorruptionReport(full(lambda i, s: float(i < 15)), 1)
    assert report.mean15 == 1.0
    assert report.mean19 == pytest.approx(15 / 19)
    assert set(report.families.values()) == {1.0}


@pytest.mark.parametrize("absent", [("fog", None), ("fog", 3)])
def test_a_mean_of_what_was_not_measured_is_none(absent):
    accuracy = full(lambda i, s: 0.5)
    name, severity = absent
    if severity is None:
        del accuracy[name]
    else:
        del accuracy[name][severity]
    report = CorruptionReport(accuracy, 1)
    assert report.mean15 is None
    assert report.mean19 is None
    assert report.mean() == 0.5
    assert "weather" not in report.families
    assert set(report.families) == {"noise", "blur", "digital"}
    assert report.missing == ([name] if severity is None else [])


def test_empty_report():
    report = CorruptionReport({}, 0)
    assert report.mean() is None
    assert report.mean([]) is None
    assert report.families == {}
    assert report.missing == MAIN + EXTRA


def test_to_dict_is_json_with_fractions():
    found = CorruptionReport({"fog": {1: 0.5, 2: 0.25}}, 4, 1.0).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["accuracy"] == {"fog": {"1": 0.5, "2": 0.25}}
    assert (found["clean"], found["corrupted"], found["images"]) == (1.0, 0.375, 4)
    assert (found["mean15"], found["mean19"], found["families"]) == (None, None, {})
    assert len(found["missing"]) == 18


# Cells made on the fly


def test_corrupted_cells_are_deterministic():
    images, labels = noise(3, size=32), np.arange(3)
    names = ("gaussian_noise", "pixelate")
    first, again = (list(corrupted_cells(images, labels, names, seed=4)) for _ in range(2))
    assert [(c.corruption, c.severity) for c in first] == [(name, s) for name in names for s in (1, 2, 3, 4, 5)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.images, corrupt(images, one.corruption, one.severity, seed=4))
        np.testing.assert_array_equal(one.labels, labels)
    other_seed = next(corrupted_cells(images, labels, names, seed=5))
    assert not np.array_equal(other_seed.images, first[0].images)


def test_unknown_corruption_is_named():
    with pytest.raises(ValueError, match="rain"):
        next(corrupted_cells(noise(1, size=32), np.zeros(1, np.int64), ["rain"]))


# Cells of a folder in the published layout


@pytest.fixture
def archive(tmp_path):
    """Four images a block; every pixel of image i at severity s of corruption c is 40 c + 8 s + i."""
    np.save(tmp_path / "labels.npy", np.tile(np.array([3, 1, 2, 0], np.uint8), 5))
    for c, name in enumerate(("saturate", "fog", "shot_noise")):
        levels = [40 * c + 8 * s + i for s in range(1, 6) for i in range(4)]
        np.save(tmp_path / f"{name}.npy", grey(*levels))
    return tmp_path


def test_stored_cells(archive):
    names, cells = stored_cells(str(archive))
    assert names == ["shot_noise", "fog", "saturate"]  # in the order of the benchmark's tables
    cells = list(cells)
    assert [(c.corruption, c.severity) for c in cells] == [(name, s) for name in names for s in (1, 2, 3, 4, 5)]
    assert cells[1].images[:, 0, 0, 0].tolist() == [96, 97, 98, 99]
    assert cells[9].images[:, 3, 3, 2].tolist() == [80, 81, 82, 83]
    assert all(c.labels.tolist() == [3, 1, 2, 0] and c.labels.dtype == np.int64 for c in cells)


def test_files_are_mapped_not_read(archive):
    _, cells = stored_cells(archive)
    assert isinstance(next(cells).images, np.memmap)


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (3, 3), (4, 4), (99, 4)])
def test_limit_takes_the_start_of_every_block(archive, limit, expected):
    for cell in stored_cells(archive, limit)[1]:
        assert len(cell.images) == len(cell.labels) == expected
        assert cell.images[0, 0, 0, 0] % 8 == 0
        assert cell.labels[0] == 3


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_must_be_positive(archive, limit):
    with pytest.raises(ValueError, match=f"limit must be at least 1, got {limit}"):
        stored_cells(archive, limit)


@pytest.mark.parametrize("dtype", ["<i8", ">i4", "u1", "<u2", "<i4"])
def test_integer_labels_of_any_kind(archive, dtype):
    np.save(archive / "labels.npy", np.tile([3, 1, 2, 0], 5).astype(dtype))
    assert next(stored_cells(archive)[1]).labels.tolist() == [3, 1, 2, 0]


def test_fortran_order(archive, bright):
    np.save(archive / "fog.npy", np.asfortranarray(np.load(archive / "fog.npy")))
    _, cells = stored_cells(archive)
    assert [c.images[1, 2, 2, 2] for c in cells if c.corruption == "fog"] == [49, 57, 65, 73, 81]
    evaluate_cells(bright, stored_cells(archive)[1], 15)


def test_other_files_are_passed_over(archive):
    (archive / "notes.npy").write_bytes(b"not an array")
    (archive / "readme.txt").write_text("hello")
    assert len(stored_cells(archive)[0]) == 3


def test_a_manifest_says_which_severities_there_are(archive):
    manifest = Manifest("mine", 5, "", None, 0, (1, 2, 4, 5), {"fog.npy": StoredFile("", 0, ())})
    write_manifest(archive, manifest)  # twenty images: four blocks of five now
    names, cells = stored_cells(archive)
    assert names == ["shot_noise", "fog", "saturate"]
    assert [(c.severity, len(c.images), c.images[0, 0, 0, 0]) for c in cells if c.corruption == "shot_noise"] == [
        (1, 5, 88), (2, 5, 97), (4, 5, 106), (5, 5, 115)
    ]  # fmt: skip
    write_manifest(archive, replace(manifest, severities=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"labels\.npy must hold integers, a multiple of 3 of them, got"):
        stored_cells(archive)


def test_missing_places_are_named(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent is not a folder; name one that holds labels\.npy"):
        stored_cells(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"labels\.npy is not a folder"):
        stored_cells(archive / "labels.npy")
    (archive / "labels.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.npy is missing"):
        stored_cells(archive)


def test_no_corruption_at_all(tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros(5, np.int64))
    with pytest.raises(
        FileNotFoundError, match=r"holds no corruption; the first one looked for is gaussian_noise\.npy"
    ):
        stored_cells(tmp_path)


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


def npy(header):
    """A .npy file of format 1.0 with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


def zipped():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(20))
    return buffer.getvalue()


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "cut header": b"\x93NUMPY\x01\x00",
    "zip archive": zipped(),
    "cut zip archive": zipped()[:50],
    "no dictionary": npy("__import__('os')"),
    "unfinished": npy("{'descr': (("),
    "indented": npy("  \n   {"),
    "nested": npy("{'descr': " + "[" * 4000),
    "huge shape": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000, 8, 8, 3), }"),
    "absurd shape": npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30}, 8, 8, 3), }}"),
    "negative shape": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-20, 8, 8, 3), }"),
    "odd type": npy("{'descr': 'evil', 'fortran_order': False, 'shape': (20, 1, 1, 3), }"),
    "cut": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 8, 8, 3), }"),
}


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_array_is_named(archive, name, kind):
    path = archive / f"{name}.npy"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(ValueError, match=rf"{name}\.npy is not a sound \.npy array: ") as caught:
        stored_cells(archive)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("kind", ["object array", "pickle"])
def test_pickles_are_refused_and_never_run(archive, tmp_path, name, kind):
    payload = Payload(tmp_path / "ran")
    if kind == "pickle":
        (archive / f"{name}.npy").write_bytes(pickle.dumps(payload))
    else:
        np.save(archive / f"{name}.npy", np.array([payload] * 20, object), allow_pickle=True)
    with pytest.raises(ValueError, match=rf"{name}\.npy is not a sound"):
        stored_cells(archive)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((20, 4, 4, 3), np.float32),
        np.zeros((20, 4, 4, 3), np.int8),
        np.zeros((20, 3, 4, 4), np.uint8),
        np.zeros((20, 4, 4), np.uint8),
        np.zeros((19, 4, 4, 3), np.uint8),
        np.zeros((40, 4, 4, 3), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((20, 4, 4, 3), [("a", "u1")]),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_images_of_another_shape_or_type(archive, images):
    np.save(archive / "fog.npy", images)
    with pytest.raises(ValueError, match=r"fog\.npy must be uint8 of shape \(20, H, W, 3\) like labels.npy, got"):
        stored_cells(archive)


@pytest.mark.parametrize("shape", [(20, 0, 4, 3), (20, 4, 0, 3), (0, 4, 4, 3)])
def test_images_without_pixels(archive, shape):
    np.save(archive / "fog.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"fog\.npy "):
        stored_cells(archive)


@pytest.mark.parametrize(
    "labels",
    [np.zeros(20), np.zeros((20, 1), np.int64), np.zeros(19, np.int64), np.zeros(20, bool), np.zeros((), np.int64)],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_labels_of_another_shape_or_type(archive, labels):
    np.save(archive / "labels.npy", labels)
    with pytest.raises(ValueError, match=r"labels\.npy must hold integers, a multiple of 5 of them, got"):
        stored_cells(archive)


def test_no_labels_at_all(archive):
    np.save(archive / "labels.npy", np.zeros(0, np.int64))
    with pytest.raises(ValueError, match=r"labels\.npy "):
        stored_cells(archive)

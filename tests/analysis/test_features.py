"""Feature spectra against NumPy on what timm itself says that a network's stages give."""

import io

import h5py
import numpy as np
import pytest
import timm
import torch
import torchvision
from fastai.learner import Learner
from torch import nn

from freqfast import analyse
from freqfast.analysis import find_analysis
from freqfast.analysis.features import draw_features, feature_spectra
from freqfast.analysis.stages import find_stages
from freqfast.data import load_data
from freqfast.data.dataloaders import dataloaders
from freqfast.models import Network, Preprocessing
from freqfast.models.classifier import Classifier
from freqfast.records import read_record, write_record

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


def measured(model, images):
    classifier = Classifier(Network("net", model, Preprocessing(MEAN, STD)), precision="float32", batch_size=2)
    return feature_spectra(classifier, images)


def expected(maps):
    """Log amplitude on the half diagonal and variance of maps, by NumPy, map by map."""
    curves, variances = [], []
    for image in maps.detach().numpy().astype(np.float64):
        for each in image:
            half = np.diagonal(np.abs(np.fft.fft2(each)))[: len(each) // 2 + 1]
            logs = np.log(half + 1e-6)
            curves.append(logs - logs[0])
            variances.append(each.var())
    return np.mean(curves, 0), np.mean(variances)


@pytest.mark.parametrize(
    ("name", "options", "stages", "left_out"),
    [
        ("resnet18", {}, {1: "layer1.1", 2: "layer2.1", 3: "layer3.1", 4: "layer4.1"}, 0),
        ("vit_tiny_patch16_224", {"img_size": 64}, {i: f"blocks.{i}" for i in range(12)}, 1),
    ],
)
def test_as_numpy_computes_it_from_timms_own_intermediates(name, options, stages, left_out, images):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7, **options).eval()
    found = {stage.name: stage for stage in measured(model, images).stages}
    pixels = torch.from_numpy((images / 255 - MEAN) / STD).permute(0, 3, 1, 2).float()
    maps = model.forward_intermediates(pixels, intermediates_only=True)
    for i, stage in stages.items():
        one, (curve, variance) = found[stage], expected(maps[i])
        assert (one.channels, one.height, one.width, one.left_out) == (*maps[i].shape[1:], left_out)
        np.testing.assert_allclose(one.frequency, np.arange(one.height // 2 + 1) / one.height)
        np.testing.assert_allclose(one.log_amplitude, curve, atol=2e-3)
        np.testing.assert_allclose(one.variance, variance, rtol=1e-4)


class Wrapped(nn.Module):
    """A network as Lightning holds one."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize(
    ("model", "some", "count"),
    [
        (torchvision.models.resnet18(), ["conv1", "layer1.0", "layer4.1"], 9),
        (Wrapped(torchvision.models.resnet18()), ["net.conv1", "net.layer4.1"], 9),
        (torchvision.models.mobilenet_v2(), ["features.0.0", "features.1", "features.17", "features.18.0"], 19),
        (torchvision.models.vit_b_16(image_size=64), ["conv_proj", "encoder.layers.encoder_layer_11"], 13),
        (torchvision.models.swin_t(), ["features.1.0", "features.2", "features.5.5"], 16),
        (timm.create_model("convnext_atto"), ["stages.0.blocks.0", "stages.2.blocks.5"], 16),
        (timm.create_model("vit_tiny_patch16_224", img_size=64), ["patch_embed", "blocks.11"], 13),
    ],
    ids=["resnet", "wrapped", "mobilenet", "vit", "swin", "convnext", "timm-vit"],
)
def test_each_block_is_a_stage(model, some, count):
    found = list(find_stages(model.eval(), torch.zeros(2, 3, 64, 64)))
    assert set(some) <= set(found)
    assert len(found) == count, found


def one_stage():
    return nn.Sequential(nn.Conv2d(3, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_maps_may_be_wider_than_high():
    [stage] = measured(one_stage(), np.zeros((2, 8, 16, 3), np.uint8)).stages
    assert (stage.height, stage.width) == (8, 16)


def test_a_wave_has_its_amplitude_at_its_frequency():
    torch.manual_seed(0)
    wave = 128 + 100 * np.cos(2 * np.pi * (np.arange(16)[:, None] + np.arange(16)) / 4)
    images = np.repeat(wave.round().astype(np.uint8)[None, :, :, None], 3, 3)
    [stage] = measured(one_stage(), images).stages
    assert np.argmax(stage.log_amplitude[1:]) == 3  # 4 waves on the diagonal of 16 pixels


class Repeated(nn.Module):
    """The same convolution on the image several times, or on images of several sizes."""

    def __init__(self, times, step=1):
        super().__init__()
        self.conv, self.times, self.step = nn.Conv2d(3, 4, 1), times, step

    def forward(self, x):
        return sum(self.conv(x[:, :, :: self.step**i, :: self.step**i]).mean((2, 3)) for i in range(self.times))


def test_a_stage_that_runs_twice_counts_once_for_each_run(images):
    twice = Repeated(2)
    once = Repeated(1)
    once.load_state_dict(twice.state_dict())
    [first], [second] = measured(once, images).stages, measured(twice, images).stages
    np.testing.assert_allclose(second.log_amplitude, first.log_amplitude, rtol=1e-6)
    np.testing.assert_allclose(second.variance, first.variance, rtol=1e-6)
    with pytest.raises(ValueError, match=r"of shape \(2, 4, 64, 64\) that is not of its grid 32x32"):
        measured(Repeated(2, step=2), images)


def test_the_precision_is_the_classifiers_and_the_classifier_stays_as_it_is(images):
    network = Network("net", torchvision.models.resnet18(num_classes=3), Preprocessing(MEAN, STD))
    rounded, exact = (Classifier(network, precision=name) for name in ("bfloat16", "float32"))
    found = [feature_spectra(one, images).stages[-1].variance for one in (rounded, exact)]
    assert found[0] != found[1]
    np.testing.assert_allclose(*found, rtol=0.1)
    assert not any(module._forward_hooks for module in rounded.model.modules())
    assert {p.dtype for p in rounded.model.parameters()} == {torch.float32}


def test_no_maps_are_one_line(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64 * 3, 5))
    with pytest.raises(ValueError, match="no convolution or linear layer of the network gives maps"):
        measured(model, images)


def test_hdf5_json_and_figure_hold_what_was_found(images, tmp_path):
    found = measured(torchvision.models.resnet18(num_classes=3), images)
    with h5py.File(io.BytesIO(found.to_hdf5())) as file:
        depth = file["entry"][file["entry"].attrs["default"]]
        names = [name.decode() for name in depth[depth.attrs["axes"][0]]]
        assert names == [stage.name for stage in found.stages]
        for name, stage in zip(names, found.stages, strict=True):
            group = file["entry"][f"stage {name}"]
            np.testing.assert_array_equal(group[group.attrs["signal"]], stage.log_amplitude)
            np.testing.assert_array_equal(group[group.attrs["axes"][0]], stage.frequency)
    write_record(tmp_path / "features.json", found)
    kept = read_record(tmp_path / "features.json", type(found))
    np.testing.assert_array_equal(kept.stages[3].log_amplitude, found.stages[3].log_amplitude)
    figure = draw_features({"a": found, "b": found})
    assert [len(axes.lines) for axes in figure.axes] == [9, 9, 2]
    np.testing.assert_array_equal(figure.axes[0].lines[2].get_ydata(), found.stages[2].log_amplitude)
    assert find_analysis("features").summarise(found)[0].rows[0][:2] == ("conv1", "64x32x32")


def test_a_learner():
    model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    learn = Learner(dataloaders(load_data("photos"), device="cpu"), model)
    assert [stage.name for stage in analyse(learn, "features", limit=4).stages] == ["0"]

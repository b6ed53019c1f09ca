"""What timm and torchvision say of their networks' images is what images in files are made into."""

import numpy as np
import pytest
import timm
import torchvision
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from freqfast import data
from freqfast.models.build import build_model
from freqfast.models.preprocessing import Preprocessing, timm_preprocessing, torchvision_preprocessing


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "smooth.png"
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC).save(path)
    return path


def levels(found, path):
    how = data.Preprocessing(resize=found.resize, crop=found.crop, interpolation=found.interpolation)
    return np.asarray(data.ImageFiles((path,), how))[0].astype(int)


@pytest.mark.parametrize("name", ["resnet10t", "test_resnet"])
def test_timm(photograph, name):
    model = build_model(f"timm:{name}")
    config = timm.data.resolve_model_data_config(model)
    found = timm_preprocessing(model)
    theirs = timm.data.create_transform(**config, is_training=False, normalize=False)(Image.open(photograph))
    assert np.abs(levels(found, photograph) - theirs.numpy().transpose(1, 2, 0)).max() <= 1
    assert (found.mean, found.std) == (config["mean"], config["std"])


@pytest.mark.parametrize("change", [{"crop_mode": "squash"}, {"input_size": (3, 224, 160)}])
def test_timm_where_images_are_not_scaled_and_cropped_to_a_square(change):
    model = nn.Identity()
    model.pretrained_cfg = {"input_size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.25,) * 3} | change
    assert timm_preprocessing(model) == Preprocessing((0.5,) * 3, (0.25,) * 3)


def test_timm_rounds_the_size_before_the_crop_down():
    model = nn.Identity()
    model.pretrained_cfg = {"input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bicubic"}
    assert timm_preprocessing(model).resize == 248  # of 248.9


@pytest.mark.parametrize("weights", ["ResNet50_Weights.DEFAULT", "Swin_T_Weights.DEFAULT"])
def test_torchvision(photograph, weights):
    weights = torchvision.models.get_weight(weights)
    found = torchvision_preprocessing(weights)
    theirs = weights.transforms()(Image.open(photograph))
    ours = transforms.normalize(transforms.to_image(levels(found, photograph)) / 255, found.mean, found.std)
    assert (ours - theirs).abs().max() < 0.02  # a level

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from tests.support.sound_model import CLASSES, MEAN, SPEC, STD, sound_header


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_model(**SPEC)
    for module in model.modules():  # as after some training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def save(tmp_path, model):
    """A sound checkpoint; its path, and a way to write it again with another header or other tensors."""
    path = tmp_path / "model.safetensors"
    write_model(path, model, SPEC, CLASSES, MEAN, STD)
    sound = load_file(path)

    def again(tensors=None, metadata=None, **changes):
        header = sound_header(path) if metadata is None and path.exists() else {}
        header |= changes
        text = json.dumps({key: value for key, value in header.items() if value is not ...})
        save_file(sound | (tensors or {}), path, {"freqfast": text} if metadata is None else metadata)
        return path

    again.path, again.tensors = path, sound
    return again

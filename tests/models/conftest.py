import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqfast.models.file import write_model
from tests.support.libraries import library_caches  # noqa: F401 (a fixture)
from tests.support.sound_model import stored_header, stored_network


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A small ResNet-18, with statistics as after some training, and its description; also its file."""
    torch.manual_seed(0)
    stored = stored_network(("ant", "bee", "größe"), (0.1, 0.2, 0.3), (1.0, 0.5, 1 / 3), "resnet18")
    for module in stored.module.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    stored.module.eval()
    path = tmp_path_factory.mktemp("sound") / "model.safetensors"
    write_model(path, stored)
    return stored, path


@pytest.fixture
def stored(sound):
    """A copy of the network, which a test may change."""
    return replace(sound[0], module=copy.deepcopy(sound[0].module))


@pytest.fixture
def save(tmp_path, sound):
    """A way to write a model file with another header or other tensors; `path` is a sound one, of `tensors`."""
    path = Path(shutil.copy(sound[1], tmp_path))

    def again(tensors=None, metadata=None, **changes):
        header = stored_header(path) | changes
        text = json.dumps({key: value for key, value in header.items() if value is not ...})
        save_file(again.tensors | (tensors or {}), path, {"freqfast": text} if metadata is None else metadata)
        return path

    again.path, again.tensors = path, load_file(path)
    return again

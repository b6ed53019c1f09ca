import os
import pickle
import resource
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam, OptimWrapper, ranger
from safetensors.torch import save_file
from torch import nn

from freqfast.models.state_dicts import fill_model, load_state
from tests.models.test_unsound_models import write_raw


@pytest.mark.parametrize("optimizer", [Adam, ranger, partial(OptimWrapper, opt=torch.optim.AdamW)])
def test_weights_of_a_fastai_learner(tmp_path, optimizer):
    batches = [(torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))] * 2
    model = nn.Linear(3, 2)
    learn = Learner(DataLoaders(batches, batches), model, nn.CrossEntropyLoss(), optimizer, path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 0.01)
    state = load_state(learn.save("w"))  # with the optimizer's state, as is its default after a fit
    assert state.keys() == model.state_dict().keys()
    assert torch.equal(state["weight"].cpu(), model.weight.cpu())


@pytest.mark.parametrize(
    ("name", "nested", "prefix"),
    [
        ("w.safetensors", (), "module."),
        ("w.pth", (), ""),
        ("w.pt", ("state_dict",), "module.module."),
        ("w.pth", ("model",), ""),
        ("w.pth", ("model", "model_state_dict"), "module."),
    ],
)
def test_places_and_prefixes_of_state_dicts(tmp_path, name, nested, prefix):
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    stored = {prefix + key: value for key, value in model.state_dict().items()}
    if name.endswith(".safetensors"):
        save_file(stored, tmp_path / name)
    else:
        for key in reversed(nested):
            stored = {key: stored, "epoch": 3, "optimizer": {"lr": 0.1}}
        torch.save(stored, tmp_path / name)
    fill_model(other, tmp_path / name)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


def test_pickles_are_refused_and_never_run(tmp_path):
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    for name in ("zip", "plain", "module"):
        message = rf"{name}\.pth cannot be read as weights \(it is corrupt or holds more than tensors\); save"
        with pytest.raises(ValueError, match=message):
            load_state(tmp_path / f"{name}.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("w.safetensors", b"\xff" * 64), ("w.pth", b""), ("w.pth", b"PK\x03\x04")]
)
def test_corrupt_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as weights") as caught:
        load_state(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_archives_that_unpack_to_more_than_their_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="it unpacks to 1,000,000 bytes, more than it has"):
        load_state(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [{}, {"a": 3}, [torch.zeros(1)], {"model": {"model": 1}}])
def test_files_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth holds no state dict, neither by itself nor under state_dict"):
        load_state(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "tensor", [torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")]
)
def test_tensors_that_are_no_weights(tmp_path, tensor):
    torch.save({0: torch.ones(1), "b": tensor}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: b is no dense tensor of real numbers; "):
        load_state(tmp_path / "w.pth")


def test_weights_that_are_not_finite(tmp_path):
    torch.save({"weight": torch.ones(2, 3).bfloat16(), "bias": torch.tensor([1.0, torch.nan])}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: bias holds values that are not finite"):
        fill_model(nn.Linear(3, 2), tmp_path / "w.pth")


def test_missing_file_and_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pth does not exist; name a file of weights"):
        load_state(tmp_path / "gone.pth")
    os.mkfifo(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="is no regular file"):
        load_state(tmp_path / "w.safetensors")


def test_shapes_are_judged_before_values_are_read(tmp_path):
    count = 2**30  # 4 GiB
    huge = {"weight": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    path = write_raw(tmp_path / "w.safetensors", huge, size=4 * count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = (
        r"does not fit the model: 1 missing, the first is bias; 1 of another shape, the first is weight, \(1073741"
    )
    with pytest.raises(ValueError, match=message):
        fill_model(nn.Linear(3, 2), path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB

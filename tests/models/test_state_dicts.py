import copy
import os
import pickle
from functools import partial

import pytest
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam, OptimWrapper, ranger
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from freqfast.models.state_dicts import load_state, save_state
from freqfast.models.weights import load_weights
from tests.support.attacks import Payload
from tests.support.networks import small_network


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
        ("w.th", ("model",), "_orig_mod."),
        ("w.ckpt", ("state_dict",), "model._orig_mod."),
        ("w.tar", ("model", "model_state_dict"), "_orig_mod.module."),
        ("w", ("net",), "backbone."),
    ],
)
def test_places_and_prefixes_of_state_dicts(tmp_path, name, nested, prefix):
    model, other = small_network(), small_network()
    nn.init.normal_(model[5].weight)
    stored = {prefix + key: value for key, value in model.state_dict().items()}
    if name.endswith(".safetensors"):
        save_file(stored, tmp_path / name)
    else:
        for key in reversed(nested):
            stored = {key: stored, "epoch": 3, "optimizer": {"lr": 0.1}}
        torch.save(stored, tmp_path / name)
    load_weights(other, tmp_path / name)
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_a_checkpoint_with_averaged_weights_too(tmp_path):
    model, other = small_network(), small_network()
    torch.save({"model": model.state_dict(), "model_ema": other.state_dict()}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match=r"w\.pth: 'model' is taken; to take 'model_ema', save it alone"):
        state = load_state(tmp_path / "w.pth")
    torch.testing.assert_close(state, dict(model.state_dict()), rtol=0, atol=0)


def test_a_written_state_dict_is_read_back(tmp_path):
    model, other = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(2))
    model[1].weight = model[0].weight  # which a safetensors file cannot say
    save_state(tmp_path / "w.safetensors", model)
    load_weights(other, tmp_path / "w.safetensors")
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["model", "module"])
def test_names_of_the_model_that_look_like_a_prefix(prefix):
    model, other = (nn.ModuleDict({prefix: small_network()}) for _ in range(2))
    wrapped = nn.ModuleDict({"module": nn.ModuleDict({"model": model})})
    for state in (model.state_dict(), wrapped.state_dict()):
        nn.init.zeros_(other[prefix][5].weight)
        load_weights(other, state)
        torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)
    with pytest.raises(
        ValueError, match=rf"missing, the first is {prefix}\.0\.weight; .* unexpected, the first is 0\."
    ):
        load_weights(model, model[prefix].state_dict())


def test_weights_of_averaged_and_of_partly_compiled_models():
    model, other = small_network(), small_network()
    load_weights(other, AveragedModel(model).state_dict())
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)
    other, partly = small_network(), copy.deepcopy(model)
    for network in (other, partly):
        network[0] = torch.compile(network[0], backend="eager")
    for state in (model.state_dict(), partly.state_dict()):
        nn.init.zeros_(other[5].weight)
        load_weights(other, state)
        torch.testing.assert_close(other.state_dict(), partly.state_dict(), rtol=0, atol=0)


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


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], {"model": {"model": 1}}], ids=range(3))
def test_files_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth holds no state dict, neither by itself nor under state_dict"):
        load_state(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "tensor", [torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")]
)
def test_tensors_that_are_no_weights(tmp_path, tensor):
    torch.save({0: torch.ones(1), "b": tensor}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: b is no dense tensor of real numbers, which"):
        load_state(tmp_path / "w.pth")


def test_missing_file_and_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pth does not exist; name a file of weights"):
        load_state(tmp_path / "gone.pth")
    os.mkfifo(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="is no regular file"):
        load_state(tmp_path / "w.safetensors")


def test_a_flipped_bit_in_a_file_of_torch(tmp_path):
    path, tensor = tmp_path / "w.pth", torch.arange(12.0)
    torch.save({"a": tensor}, path)
    content = path.read_bytes()
    place = content.index(tensor.numpy().tobytes())
    path.write_bytes(content[: place + 5] + bytes([content[place + 5] ^ 1]) + content[place + 6 :])
    with pytest.raises(ValueError, match=r"w\.pth cannot be read .*: the checksum of w/data/0 in it is wrong"):
        load_state(path)


def test_a_file_of_torch_without_checksums(tmp_path):
    computed = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(computed)
    assert torch.equal(load_state(tmp_path / "w.pth")["a"], torch.ones(1))

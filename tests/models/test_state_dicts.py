import pickle
from functools import partial
from pathlib import Path

import pytest
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam, OptimWrapper, ranger
from torch import nn

from freqfast.models.state_dicts import load_state


@pytest.fixture
def place(tmp_path):
    return tmp_path


@pytest.mark.parametrize("optimizer", [Adam, ranger, partial(OptimWrapper, opt=torch.optim.AdamW)])
def test_what_a_fastai_learner_saves(place, optimizer):
    batches = [(torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))] * 2
    model = nn.Linear(3, 2)
    learn = Learner(DataLoaders(batches, batches), model, nn.CrossEntropyLoss(), optimizer, path=place)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 0.01)
    state = load_state(learn.save("w"))  # with the optimizer's state, as is its default after a fit
    assert state.keys() == model.state_dict().keys()
    assert torch.equal(state["weight"].cpu(), model.weight.cpu())


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


def test_pickles_are_refused_and_never_run(place):
    torch.save({"state_dict": Payload(place / "ran")}, place / "zip.pth")
    (place / "plain.pth").write_bytes(pickle.dumps(Payload(place / "ran")))
    torch.save(nn.Linear(2, 2), place / "module.pth")
    for name in ("zip", "plain", "module"):
        with pytest.raises(
            ValueError,
            match=rf"{name}\.pth cannot be read as weights \(it is damaged or holds more than tensors\); save",
        ):
            load_state(place / f"{name}.pth")
    assert not (place / "ran").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.txt"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\xff" * 64])
def test_damaged_weights(place, name, content):
    (place / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as weights") as caught:
        load_state(place / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"a": 3}, [torch.zeros(1)], torch.zeros(1), {"model": {"model": 1}}])
def test_what_is_no_state_dict(place, content):
    torch.save(content, place / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth holds no state dict, neither by itself nor under state_dict"):
        load_state(place / "w.pth")


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.ones(2).to_sparse(), "no dense tensor of real numbers"),
        (torch.ones(2, 2).to_sparse_csr(), "no dense tensor of real numbers"),
        (torch.ones(2, dtype=torch.complex64), "no dense tensor of real numbers"),
        (torch.ones(2, device="meta"), "no dense tensor of real numbers"),
        (torch.tensor([1.0, torch.nan]), "values that are not finite"),
        (torch.tensor([1.0, -torch.inf]).bfloat16(), "values that are not finite"),
    ],
)
def test_tensors_that_are_no_weights(place, tensor, reason):
    torch.save({0: torch.ones(1), "b": tensor}, place / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth: b (is|holds) {reason}; "):
        load_state(place / "w.pth")

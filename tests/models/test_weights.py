"""`load_weights`: networks with our parts from state dicts, files of them and model files."""

import copy
import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import MNASNet

from freqfast import load_weights
from freqfast.models.classifier import hash_weights
from freqfast.models.file import write_model
from freqfast.models.parts import find_parts
from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import EQUALIZER_BUFFERS, apply_equalization
from freqfast.spectral.modulation import apply_modulation

PARTS = {
    "nothing": lambda model: model,
    "gains": lambda model: apply_modulation(model, sigma=0.25, seed=7),
    "shared gains": lambda model: apply_modulation(model, "layer2.0.conv1", per_filter=False, sigma=0.0, seed=0),
    "equalizer": lambda model: apply_equalization(model, bins=5, exponent=0.3),
    "triangle": apply_antialiasing,
    "flc": lambda model: apply_antialiasing(model, ["layer2.0.conv1"], "flc"),
    "all": lambda model: PARTS["flc"](PARTS["equalizer"](PARTS["gains"](model))),
}
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(stored):
    """Makes the stored model with some parts, all of which differ from a fresh one's."""

    def make(name):
        model = PARTS[name](copy.deepcopy(stored.module))
        model.train()(IMAGES)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith("log_gain"):
                    parameter.normal_()
        return model.eval()

    return make


@pytest.fixture
def fresh(stored):
    """Makes a model of the same architecture with other weights."""

    def make(name="nothing"):
        torch.manual_seed(3)
        return PARTS[name](stored.spec.build()).eval()

    return make


def outputs(model):
    with torch.no_grad():
        return model(IMAGES)


def saved(way, model, stored, folder):
    """The weights as one of the things that `load_weights` takes."""
    state = model.state_dict()
    match way:
        case "state dict":
            return state
        case "torch.save":
            torch.save({"model": state, "opt": {}}, folder / "w.pth")
            return folder / "w.pth"
        case "safetensors":
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "w.safetensors")
            return str(folder / "w.safetensors")
    write_model(folder / "model.safetensors", replace(stored, module=model))
    return folder if way == "run" else folder / "model.safetensors"


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("nothing", "state dict"),
        ("gains", "torch.save"),
        ("shared gains", "safetensors"),
        ("equalizer", "model file"),
        ("triangle", "torch.save"),
        ("flc", "safetensors"),
        ("all", "run"),
    ],
)
def test_what_is_missing_is_put_in(name, way, trained, fresh, stored, tmp_path):
    model, other = trained(name), fresh()
    weights = saved(way, model, stored, tmp_path)
    put_in, parts = load_weights(nn.DataParallel(other), weights), find_parts(model)
    ours = way in ("model file", "run")
    if not ours:  # sigma and seed are not in a state dict
        parts = replace(parts, modulation=tuple(replace(each, sigma=0.0, seed=0) for each in parts.modulation))
    assert put_in == find_parts(other) == parts
    assert bool(put_in) == (name != "nothing")
    assert torch.equal(outputs(other), outputs(model))
    assert not load_weights(other, weights)  # nothing is missing any more
    other = fresh(name)
    assert not load_weights(other, weights)
    assert torch.equal(outputs(other), outputs(model))


@pytest.mark.parametrize("name", ["triangle", "all"])
def test_a_model_file_of_a_wrapped_network(name, trained, fresh, stored, tmp_path):
    model, other = trained(name), fresh()
    wrapper = nn.ModuleDict({"model": model})
    wrapper.forward = model.forward
    put_in, parts = load_weights(other, saved("model file", wrapper, stored, tmp_path)), find_parts(model)
    assert put_in == find_parts(other) == parts
    assert torch.equal(outputs(other), outputs(model))


def test_what_was_put_in_is_said_in_one_line(trained, fresh):
    model = apply_antialiasing(trained("all"), ["layer3.0.conv1", "layer4.0.conv1"])
    assert str(load_weights(fresh(), model.state_dict())) == (
        "modulation of conv1; equalizer (5 bins, exponent 0.3) before conv1; low-pass (triangle) before "
        "layer3.0.conv1, layer4.0.conv1; low-pass (flc) before layer2.0.conv1"
    )


MISFITS = {
    "a weight is missing": (lambda state: state.pop("fc.bias"), "1 missing, the first is fc.bias"),
    "not finite": (lambda state: state["fc.bias"].fill_(torch.nan), "fc.bias holds values that are not finite"),
    "part of a missing layer": (
        lambda state: state.update({"stem.low_pass_flc": torch.tensor([2, 2])}),
        "1 unexpected, the first is stem.low_pass_flc",
    ),
    "exponent": (lambda state: state["conv1.equalizer_exponent"].fill_(3), r"exponent must lie in \[0, 1\], got 3"),
    "gains of another size": (
        lambda state: state.update({"conv1.log_gain": torch.zeros(8, 9)}),
        r"the first is conv1.log_gain, \(8, 9\) for \(8, 5\)",
    ),
    "no exponent": (
        lambda state: state.pop("conv1.equalizer_exponent"),
        "2 unexpected, the first is conv1.equalizer_reference",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit_leave_the_model_as_it_was(case, trained, fresh):
    change, message = MISFITS[case]
    state, model = copy.deepcopy(trained("all").state_dict()), fresh()
    change(state)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=f"^the state dict does not fit the model: .*{message}") as caught:
        load_weights(model, state)
    assert "\n" not in str(caught.value)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert not find_parts(model)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_parts_that_the_weights_lack_are_an_error(trained, fresh):
    state = trained("nothing").state_dict()
    for name, message in (("gains", "conv1.log_gain"), ("triangle", "low_pass_triangle")):
        with pytest.raises(ValueError, match=f"missing, the first is .*{message}"):
            load_weights(fresh(name), state)
    with pytest.raises(ValueError, match=r"layer 'layer2\.0\.conv1' has a low-pass of another kind than 'flc'"):
        load_weights(fresh("triangle"), trained("flc").state_dict())


def test_a_file_that_is_missing(fresh, tmp_path):
    for path in (tmp_path, tmp_path / "absent.safetensors"):
        with pytest.raises(FileNotFoundError, match=r"\.safetensors does not exist"):
            load_weights(fresh(), path)


def test_a_model_file_with_a_corrupt_description_is_not_taken_as_mere_weights(trained, fresh, stored, tmp_path):
    path = saved("model file", trained("flc"), stored, tmp_path)
    save_file(load_file(path), path, {"freqfast": '{"schema": 2}'})
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be loaded: .*schema 2"):
        load_weights(fresh(), path)


def test_hashes_are_those_of_the_first_results(trained):
    """Results name the hash of their model's weights; low-passes and the exponent were no part of it."""
    model, named = trained("all"), {}
    before = hash_weights(model)
    for name, tensor in model.state_dict().items():
        if not name.endswith(("equalizer_exponent", "low_pass_flc")):
            named[name.replace("equalizer_", "equalizer.")] = tensor
    digest = hashlib.sha256()
    for name in sorted(named):
        tensor = named[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    assert before == digest.hexdigest()
    for name in ("layer2.0.conv1.low_pass_flc", f"conv1.{EQUALIZER_BUFFERS[2]}"):
        model.get_buffer(name).add_(1)
    assert hash_weights(model) == before
    model.conv1.equalizer_reference.add_(1)
    assert hash_weights(model) != before


def test_networks_that_ask_for_the_version_of_their_weights(tmp_path):
    trained, fresh = MNASNet(0.1, num_classes=3), MNASNet(0.1, num_classes=3)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    load_weights(fresh, tmp_path / "w.pth")
    torch.testing.assert_close(fresh.state_dict(), trained.state_dict(), rtol=0, atol=0)


def test_a_network_that_is_the_convolution_itself():
    conv = apply_antialiasing(apply_equalization(apply_modulation(nn.Conv2d(3, 8, 3, stride=2)), bins=3), [""])
    plain = nn.Conv2d(3, 8, 3, stride=2)
    load_weights(plain, conv.state_dict())
    assert plain.state_dict().keys() == conv.state_dict().keys()
    assert find_parts(plain).equalization == find_parts(conv).equalization


def test_a_network_of_max_pools(tmp_path):
    def network():
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.MaxPool2d(2), nn.Flatten())

    trained, fresh = apply_antialiasing(apply_antialiasing(network(), "1", "flc"), "3"), network()
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    assert (
        str(load_weights(fresh, tmp_path / "w.safetensors")) == "low-pass (triangle) before 3; low-pass (flc) before 1"
    )
    assert torch.equal(outputs(fresh), outputs(trained))
    with pytest.raises(ValueError, match=r"1 unexpected, the first is 1\.log_gain"):
        load_weights(network(), trained.state_dict() | {"1.log_gain": torch.zeros(8, 3)})


def test_a_network_that_keeps_more_than_tensors():
    class Counting(nn.Linear):
        steps = 3

        def get_extra_state(self):
            return {"steps": self.steps}

        def set_extra_state(self, state):
            self.steps = state["steps"]

    trained, fresh = Counting(3, 2), Counting(3, 2)
    trained.steps = 5
    load_weights(fresh, trained.state_dict())
    assert fresh.steps == 5
    torch.testing.assert_close(fresh.weight, trained.weight, rtol=0, atol=0)
    with pytest.raises(ValueError, match="3 missing, the first is weight"):
        load_weights(fresh, {})
    trained.steps = 7
    trained.weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="weight holds values that are not finite"):
        load_weights(fresh, trained.state_dict())
    assert fresh.steps == 5
    assert fresh.weight.isfinite().all()
    with pytest.raises(ValueError, match="1 unexpected, the first is _extra_state"):
        load_weights(nn.Linear(3, 2), fresh.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.char(), "of another kind, the first is .*weight, whole numbers for floats"),
        (lambda tensor: tensor > 0, "of another kind, the first is .*weight, whole numbers for floats"),
        (lambda tensor: tensor + 0j, "of another kind, the first is .*weight, complex numbers for floats"),
        (lambda tensor: tensor.to_sparse(), "of another kind, the first is .*weight, torch.sparse_coo for floats"),
        (lambda tensor: tensor.numpy(), "of another kind, the first is .*weight, ndarray for floats"),
        (lambda tensor: None, "of another kind, the first is .*weight, NoneType for floats"),
        (lambda tensor: tensor.to("meta"), "is on the meta device, where it has no values"),
    ],
)
def test_values_that_are_no_weights(change, message, fresh):
    model = fresh()
    before = outputs(model)
    with pytest.raises(ValueError, match=f"^the state dict does not fit mine: .*{message}") as caught:
        load_weights(model, {name: change(tensor) for name, tensor in model.state_dict().items()}, "mine")
    assert "\n" not in str(caught.value)
    assert torch.equal(outputs(model), before)


def test_names_that_are_no_text(fresh):
    with pytest.raises(ValueError, match=r"1 unexpected, the first is 7$"):
        load_weights(model := fresh(), {**model.state_dict(), 7: torch.zeros(1)})

import json
import re
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from freqfast.models.sources import check_classes, load_model
from freqfast.runs.directory import find_run
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import run_data

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place):
    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 10}
    (place / "run").mkdir()
    write_model(place / "run" / "model.safetensors", build_model(**spec), spec, "abcdefghij", HALF, (0.25,) * 3)
    (place / "run" / "recipe.toml").write_text(Recipe("A run to find again.", data="photos").to_toml())
    return place / "run"


def test_a_run_directory_and_its_file(run):
    for place in (run, str(run), run / "model.safetensors"):
        found = load_model(place)
        assert (found.name, found.mean, found.std) == (str(place), HALF, (0.25,) * 3)
        assert not found.model.training
    assert load_model(run / "model.safetensors").classes == load_model(run).classes == tuple("abcdefghij")
    assert load_model(run, mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)


def test_the_run_of_a_path(run):
    assert find_run(run) == find_run(run / "model.safetensors") == run
    assert run_data(find_run(run)) == "photos"
    (run / "recipe.toml").write_text("broken [")
    assert run_data(find_run(run)) is None
    (run / "recipe.toml").unlink()
    assert find_run(run) is find_run(run / "model.safetensors") is None


def test_another_file_in_a_run_is_not_the_run_s(run):
    assert find_run(run / "other.safetensors") is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"data": {"path": "PLACE"}}, "PLACE"),
        ({"data": {"path": "PLACE/gone"}}, "photos"),
        ({"data": {"path": None}}, "photos"),
        ({"data": {"path": 3}}, "photos"),
        ({"data": {"path": "a\0b"}}, "photos"),
        ({"data": {}}, "photos"),
        ({"data": 5}, "photos"),
        ([], "photos"),
    ],
)
def test_a_run_s_data_is_where_it_was_if_it_still_is(run, environment, expected):
    text = json.dumps(environment).replace("PLACE", str(run.parent))
    (run / "environment.json").write_text(text)
    assert run_data(run) == expected.replace("PLACE", str(run.parent))
    assert run_data(run.parent) is None


def test_classes_are_compared_where_they_are_known():
    for trained, found in ((None, "ab"), ("ab", None), (["a", "b"], ("a", "b"))):
        check_classes("m", trained, "d", found)
    for found in ("ba", "abc", ""):
        with pytest.raises(ValueError, match="m was trained on the classes a, b, but those of d are"):
            check_classes("m", "ab", "d", found)


def module_named(place, name, text):
    (place / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)


NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 10))

class A:
    f = staticmethod(net)

trained = net()
"""


def test_a_function_of_the_working_directory(place):
    module_named(place, "zoo_a", NET)
    path = list(sys.path)
    for spec in ("zoo_a:net", "zoo_a:A.f"):
        found = load_model(spec, mean=HALF, std=HALF)
        assert isinstance(found.model, nn.Sequential)
        assert found.name == spec
    assert sys.path == path


def test_a_model_that_is_there_already(place):
    module_named(place, "zoo_d", NET)
    found = load_model("zoo_d:trained", mean=HALF, std=HALF)
    assert found.model is sys.modules["zoo_d"].trained
    assert not found.model.training


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("nested", [(), ("state_dict",), ("model",), ("state", "model_state_dict")])
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_weights_of_every_kind(place, suffix, nested, prefix):
    module_named(place, "zoo_b", NET)
    state = nn.Sequential(nn.Flatten(), nn.Linear(12, 10)).state_dict()
    stored = {prefix + key: value for key, value in state.items()}
    if suffix == ".safetensors":
        save_file(stored, place / "w.safetensors")
    else:
        for key in reversed([key for key in nested if key != "state"]):
            stored = {key: stored, "epoch": 3, "optimizer": {"lr": 0.1}}
        torch.save(stored, place / f"w{suffix}")
    found = load_model("zoo_b:net", weights=place / f"w{suffix}", mean=HALF, std=HALF)
    assert all(torch.equal(value, state[key]) for key, value in found.model.state_dict().items())


def test_timm(place):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    save_file(timm.create_model("resnet10t", num_classes=10).state_dict(), place / "w.safetensors")
    found = load_model("timm:resnet10t", weights=place / "w.safetensors")
    config = timm.create_model("resnet10t").pretrained_cfg
    assert (found.mean, found.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert found.model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(ValueError, match=r"does not fit timm:resnet10t: fc\.\w+ is \(10.*\(--classes sets"):
        load_model("timm:resnet10t", weights=place / "w.safetensors", classes=7)
    with pytest.raises(ValueError, match="timm:resnet10t would have random weights; pass its trained ones"):
        load_model("timm:resnet10t")
    with pytest.raises(ValueError, match=r"timm has no model 'resnet10'; did you mean .*resnet10t"):
        load_model("timm:resnet10", weights="w.safetensors")


def test_timm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="timm:resnet18 needs timm, which is not installed; pip install timm"):
        load_model("timm:resnet18", weights="w.pth")


def test_torchvision(place):
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=5).state_dict(), place / "w.pth")
    found = load_model("torchvision:squeezenet1_1", "w.pth", HALF, HALF, classes=5)
    assert found.model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(ValueError, match="normalisation of torchvision:squeezenet1_1 is not known; pass --mean R,G,B"):
        load_model("torchvision:squeezenet1_1", "w.pth", classes=5)
    with pytest.raises(ValueError, match="torchvision has no model 'squeezenet'; did you mean squeezenet1_"):
        load_model("torchvision:squeezenet", "w.pth")


def test_weights_of_another_model(place):
    module_named(place, "zoo_c", NET)
    torch.save({"1.weight": torch.zeros(10, 12), "2.bias": torch.zeros(10)}, place / "w.pth")
    message = r"w\.pth does not fit zoo_c:net: 1 missing, the first is 1\.bias; 1 too many, the first is 2\.bias"
    with pytest.raises(ValueError, match=message):
        load_model("zoo_c:net", "w.pth", HALF, HALF)
    with pytest.raises(FileNotFoundError, match=r"gone\.pth does not exist; name a file of weights"):
        load_model("zoo_c:net", "gone.pth", HALF, HALF)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent", "absent does not exist; name a run directory, a .safetensors file of ours, timm:NAME"),
        ("squeezenet1_1", "does not exist; name torchvision:squeezenet1_1 with --weights FILE"),
        ("Timm:resnet18", "Timm:resnet18 cannot be imported .*No module named 'Timm'.*; models are a run directory"),
        ("no_such_module:net", "no_such_module:net cannot be imported"),
        ("json:nothing", "json:nothing: json has no nothing"),
        ("json:__name__", "json:__name__ is no function or class that returns a model, but str"),
        ("json:JSONDecoder", "json:JSONDecoder must return a torch.nn.Module, got JSONDecoder"),
        ("json:loads", r"json:loads cannot be built \(TypeError: loads\(\) missing"),
        ("a b:c", "'a b:c' names no model: name a run directory"),
        ("timm:", "timm has no model ''"),
        ("w.pth", r"w\.pth holds weights, but no model; name the model and pass --weights w\.pth"),
        ("zoo_bad:net", r"zoo_bad:net cannot be imported \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_what_only_looks_like_a_model(place, spec, message):
    if spec.startswith("timm"):
        pytest.importorskip("timm")
    (place / "w.pth").write_bytes(b"")
    module_named(place, "zoo_bad", "1 / 0\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_model(spec, mean=HALF, std=HALF)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mean", "std", "got"),
    [
        ((125, 122, 114), (63, 62, 67), "125,122,114 and 63,62,67"),
        ((0.5, 0.5, 1.01), HALF, "0.5,0.5,1.01 and 0.5,0.5,0.5"),
        ((-0.5, 0, 1), HALF, "-0.5,0,1 and 0.5,0.5,0.5"),
        (HALF, (0.2, 0.2, 58), "0.5,0.5,0.5 and 0.2,0.2,58"),
    ],
)
def test_a_normalisation_of_other_pixels(run, mean, std, got):
    message = r"mean must lie in \[0, 1\] and std in \(0, 1\], as pixels do, got {}; divide those of .* by 255"
    with pytest.raises(ValueError, match=message.format(re.escape(got))):
        load_model(run, mean=mean, std=std)


def test_wrong_normalisation_and_weights_of_ours(run):
    with pytest.raises(ValueError, match="mean and std must be three finite numbers each, std positive"):
        load_model(run, std=(0.1, 0.0, 0.1))
    with pytest.raises(ValueError, match=r"run has its own weights; leave out --weights w\.pth"):
        load_model(run, weights="w.pth")

import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from freqfast.models.file import write_model
from freqfast.models.sources import load_model, model_kind
from tests.support.sound_model import stored_model

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place):
    (place / "run").mkdir()
    write_model(place / "run" / "model.safetensors", stored_model("abcdefghij"))
    return place / "run"


def test_a_run_directory_and_its_file(run):
    for place in (run, str(run), run / "model.safetensors"):
        found = load_model(place)
        assert (found.name, found.mean, found.std) == (str(place), HALF, (0.25,) * 3)
        assert found.classes == tuple("abcdefghij")
        assert not found.model.training
    assert load_model(run, mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)


def test_a_file_of_ours_may_have_any_name(run):
    (run / "model.safetensors").rename("timm:mine")
    assert model_kind("timm:mine") == "ours"
    assert load_model("timm:mine").classes == tuple("abcdefghij")


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


def test_functions_and_models_of_the_working_directory(place):
    module_named(place, "zoo_a", NET)
    path = list(sys.path)
    for spec in ("zoo_a:net", "zoo_a:A.f", "zoo_a:trained"):
        found = load_model(spec, mean=HALF, std=HALF)
        assert isinstance(found.model, nn.Sequential)
        assert not found.model.training
        assert found.name == spec
    assert found.model is sys.modules["zoo_a"].trained
    assert sys.path == path


def test_timm(place):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    save_file(timm.create_model("resnet10t", num_classes=10).state_dict(), place / "w.safetensors")
    found = load_model("timm:resnet10t", weights=place / "w.safetensors")
    config = timm.create_model("resnet10t").pretrained_cfg
    assert (found.mean, found.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert found.model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(ValueError, match=r"does not fit timm:resnet10t: 2 of .*fc\.\w+, \(10.*\(classes sets"):
        load_model("timm:resnet10t", weights=place / "w.safetensors", classes=7)
    with pytest.raises(ValueError, match="timm:resnet10t would have random weights; pass a file of its trained ones"):
        load_model("timm:resnet10t")


def test_torchvision(place):
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=5).state_dict(), place / "w.pth")
    found = load_model("torchvision:squeezenet1_1", "w.pth", HALF, HALF, classes=5)
    assert found.model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(ValueError, match="normalisation of torchvision:squeezenet1_1 is not known; pass mean and std"):
        load_model("torchvision:squeezenet1_1", "w.pth", classes=5)


def test_weights_of_another_model(place):
    module_named(place, "zoo_c", NET)
    torch.save({"1.weight": torch.zeros(10, 12), "2.bias": torch.zeros(10)}, place / "w.pth")
    message = r"w\.pth does not fit zoo_c:net: 1 missing, the first is 1\.bias; 1 unexpected, the first is 2\.bias"
    with pytest.raises(ValueError, match=message):
        load_model("zoo_c:net", "w.pth", HALF, HALF)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent", "absent does not exist; name a run directory, a .safetensors file of ours, timm:NAME"),
        ("squeezenet1_1", "does not exist; name torchvision:squeezenet1_1 with its weights"),
        ("Timm:resnet18", "Timm:resnet18 cannot be imported .*No module named 'Timm'.*; models are a run directory"),
        ("json:nothing", "json:nothing: json has no nothing"),
        ("json:__name__", "json:__name__ is no function or class that returns a model, but str"),
        ("json:JSONDecoder", "json:JSONDecoder must be a torch.nn.Module, got JSONDecoder"),
        ("json:loads", r"json:loads cannot be built \(TypeError: loads\(\) missing"),
        ("a b:c", "'a b:c' names no model: name a run directory"),
        ("timm:", "timm has no model ''"),
        ("w.pth", r"w\.pth holds weights, but no model; name the model and pass w\.pth as its weights"),
        ("zoo_bad:net", r"zoo_bad:net cannot be imported \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_specifications_that_name_no_model(place, spec, message):
    if spec.startswith("timm"):
        pytest.importorskip("timm")
    (place / "w.pth").write_bytes(b"")
    module_named(place, "zoo_bad", "1 / 0\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_model(spec, mean=HALF, std=HALF)
    assert "\n" not in str(caught.value)


def test_arguments_that_our_files_refuse(run):
    for std in ((63, 62, 67), (0.2, 0.0, 0.2)):
        got = ",".join(map(str, std)).replace("0.0", "0")
        with pytest.raises(ValueError, match=rf"std three in \(0, 1\], .* got 0.5,0.5,0.5 and {got}; divide those"):
            load_model(run, std=std)
    with pytest.raises(ValueError, match=r"run has its own weights; leave out the weights w\.pth"):
        load_model(run, weights="w.pth")

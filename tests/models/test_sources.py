import os
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from freqfast.models.file import write_model
from freqfast.models.sources import load_model, model_kind
from tests.support.foreign import write_checkpoint, write_script
from tests.support.sound_model import stored_network

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place):
    (place / "run").mkdir()
    write_model(place / "run" / "model.safetensors", stored_network("abcdefghij"))
    return place / "run"


def test_a_run_directory_and_its_file(run):
    for place in (run, str(run), run / "model.safetensors"):
        found = load_model(place)
        assert (found.name, found.mean, found.std, found.crop) == (str(place), HALF, (0.25,) * 3, None)
        assert found.classes == tuple("abcdefghij")
        assert not found.model.training
    assert load_model(run, mean=torch.tensor([0.1, 0.2, 0.3])).mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    path = run / "model.safetensors"
    for name in ("timm:mine", "zoo:mine"):  # a file of ours may have any name
        path = path.rename(name)
        assert model_kind(name) == "ours"
        assert load_model(name).classes == tuple("abcdefghij")


@pytest.mark.parametrize(
    ("spec", "call"),
    [
        ("foreign_net", "net"),
        ("./foreign_net.py", "Net(7, num_classes=3)"),
        ("sub/foreign_net.py", "trained"),
        ("{place}/sub/foreign_net.py", "net()"),
    ],
)
def test_a_callable_of_the_working_folder_or_of_a_file(place, spec, call):
    (place / "sub").mkdir()
    write_script(place / "sub" if "sub/" in spec else place)
    path = list(sys.path)
    spec = f"{spec.format(place=place)}:{call}"
    if call == "trained":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = load_model(spec, mean=HALF, std=HALF)
    else:
        with pytest.warns(UserWarning, match=r"net.* comes without a file of weights; unless .* they are random"):
            found = load_model(spec, mean=HALF, std=HALF)
    assert (found.name, found.model.training, sys.path) == (spec, False, path)
    assert found.model.linear.weight.shape == ((3, 7) if "7" in call else (10, 4))


def test_two_files_of_one_name(place):
    for name, width in (("a", 4), ("b", 6)):
        (place / name).mkdir()
        script = write_script(place / name)
        script.write_text(script.read_text().replace("width=4", f"width={width}"))
    a, b = (load_model(f"{name}/foreign_net.py:trained", mean=HALF, std=HALF).model for name in "ab")
    assert (a.shape.width, b.shape.width) == (4, 6)


@pytest.mark.filterwarnings("ignore:.*comes without a file of weights")
def test_two_files_have_their_own_modules_beside_them(place):
    for name, made in (("a", "mean((2, 3))"), ("b", "amax((2, 3))")):
        (place / name).mkdir()
        write_script(place / name)
        (place / name / "parts_beside.py").write_text(f"def pooled(maps):\n    return maps.{made}\n")
    found = []
    for name in "aba":
        torch.manual_seed(0)
        found.append(load_model(f"{name}/foreign_net.py:net", mean=HALF, std=HALF).model(torch.ones(1, 3, 8, 8)))
    torch.testing.assert_close(found[0], found[2])
    assert not torch.allclose(found[0], found[1])


@pytest.mark.filterwarnings("ignore:.*comes without a file of weights")
@pytest.mark.parametrize("call", ["trained", "get()"])
def test_a_model_that_code_gives_twice_is_two_models(place, call):
    script = write_script(place)
    script.write_text(script.read_text() + "\n\ndef get():\n    return trained\n")
    one, other = (load_model(f"foreign_net:{call}", mean=HALF, std=HALF).model for _ in range(2))
    nn.init.zeros_(one.linear.weight)
    assert other.linear.weight.any()


@pytest.mark.filterwarnings("ignore:.*comes without a file of weights")
def test_a_folder_with_brackets_in_its_name(place):
    (place / "nets (copy)").mkdir()
    write_script(place / "nets (copy)")
    for call, width in (("trained", 4), ("Net(7, num_classes=3)", 7)):
        assert load_model(f"nets (copy)/foreign_net.py:{call}", mean=HALF, std=HALF).model.linear.in_features == width


def test_a_package_with_a_dash(place):
    (place / "pytorch-nets").mkdir()
    (place / "pytorch-nets" / "mine.py").write_text("import torch\nnet = torch.nn.Conv2d(3, 7, 3)")
    assert load_model("pytorch-nets.mine:net", mean=HALF, std=HALF).model.out_channels == 7


@pytest.mark.filterwarnings("error:.*comes without a file of weights")
def test_published_weights_of_years_ago(place):
    script = write_script(place)
    model = load_model(f"{script}:trained", mean=HALF, std=HALF).model
    nn.init.normal_(model.bn1.running_mean)
    path = write_checkpoint(place / "net-12fca82f.th", model)
    found = load_model(f"{script}:net", path, HALF, HALF)
    assert found.name == f"{script}:net with net-12fca82f.th"
    torch.testing.assert_close(found.model.state_dict(), model.state_dict(), rtol=0, atol=0)
    message = r"th does not fit .*net\(5\): 6 of another shape, the first is conv1.weight, \(4, 3, 3, 3\) for \(5,"
    with pytest.raises(ValueError, match=message):
        load_model(f"{script}:net(5)", path, HALF, HALF)


def test_timm(place):
    timm = pytest.importorskip("timm")
    save_file(timm.create_model("test_resnet", num_classes=10).state_dict(), place / "w.safetensors")
    found = load_model("timm:test_resnet(drop_rate=0.25)", weights=place / "w.safetensors")
    config = timm.create_model("test_resnet").pretrained_cfg
    assert (found.mean, found.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert found.model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert (found.model.drop_rate, found.crop) == (0.25, None)
    with pytest.raises(ValueError, match=r"does not fit timm:test_resnet with 7 classes: 2 of .*fc\.\w+, \(10"):
        load_model("timm:test_resnet", weights=place / "w.safetensors", classes=7)
    with pytest.raises(ValueError, match="timm:test_resnet would have random weights; pass a file of trained ones, or"):
        load_model("timm:test_resnet")


def test_torchvision(place):
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=5).state_dict(), place / "w.pth")
    found = load_model("torchvision:squeezenet1_1", "w.pth", HALF, HALF, classes=5)
    assert found.model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    message = (
        "normalisation of torchvision:squeezenet1_1 is not known; pass mean and std, three numbers each for pixels in "
        r"\[0, 1\], or mean 0,0,0 and std 1,1,1 if the network normalises by itself"
    )
    for mean in (None, HALF):
        with pytest.raises(ValueError, match=message):
            load_model("torchvision:squeezenet1_1", "w.pth", mean, classes=5)


def test_pretrained_weights_of_the_libraries(library_caches):
    import timm
    from torchvision.models import squeezenet1_1

    saved = squeezenet1_1().eval()
    torch.save(saved.state_dict(), library_caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    found = load_model("torchvision:squeezenet1_1", pretrained=True)
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (found.resize, found.crop, found.interpolation) == (256, 224, "bilinear")
    assert torch.equal(found.model.classifier[1].weight, saved.classifier[1].weight)  # a thousand classes

    saved = timm.create_model("resnet10t")
    snapshot = library_caches / "hf" / "models--timm--resnet10t.c3_in1k" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    save_file(saved.state_dict(), snapshot / "model.safetensors")
    found = load_model("timm:resnet10t", pretrained=True, mean=HALF)
    assert (found.mean, found.std) == (HALF, tuple(saved.pretrained_cfg["std"]))
    assert (found.resize, found.crop, found.interpolation) == (201, 176, "bicubic")
    assert torch.equal(found.model.fc.weight, saved.fc.weight)
    with pytest.raises(ValueError, match="leave num_classes out; pretrained weights have theirs"):  # a random head
        load_model("timm:resnet10t(num_classes=5)", pretrained=True)
    with pytest.warns(UserWarning, match="images for timm:resnet10t are taken as they are, not squashed or padded"):
        load_model("timm:resnet10t(pretrained_cfg_overlay={'crop_mode': 'squash'})", pretrained=True)


def test_the_normalisation_of_pretrained_weights_is_that_which_their_state_dict_needs(library_caches):
    """torchvision's GoogLeNet changes its input with its own weights alone."""
    from torchvision.models import googlenet

    saved = googlenet(init_weights=False).eval()
    torch.save(saved.state_dict(), library_caches / "torch" / "checkpoints" / "googlenet-1378be20.pth")
    found = load_model("torchvision:googlenet", pretrained=True)
    torch.save(found.model.state_dict(), "own.pth")
    spec = "torchvision:googlenet(aux_logits=False, init_weights=False)"
    again = load_model(spec, "own.pth", found.mean, found.std, classes=1000)
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    saved.transform_input = True
    expected = saved((pixels - mean) / std)
    for each in (found, again):
        normalised = (pixels - torch.tensor(each.mean).view(3, 1, 1)) / torch.tensor(each.std).view(3, 1, 1)
        torch.testing.assert_close(each.model.eval()(normalised), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "weights", "message"),
    [
        ("torchvision:squeezenet1_1", None, r"\(URLError: .*no connection.*\); without a connection, pass a file of"),
        ("timm:resnet10t", None, r"the pretrained weights of timm:resnet10t cannot be loaded \(\w+: .*; without a con"),
        ("timm:resnet18(3)", None, r"timm:resnet18\(3\): name the arguments, as in timm:resnet18\(drop_rate=0.1\)"),
        ("timm:resnet10t", "w.pth", "leave them out for the weights w.pth"),
        ("a:b", None, "leave them out for a:b, which is none of timm's or torchvision's"),
        ("torchvision:resnet17", None, "torchvision has no model 'resnet17'; did you mean"),
    ],
)
def test_pretrained_weights_that_cannot_be_had(library_caches, spec, weights, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_model(spec, weights, pretrained=True)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_tried_once(library_caches, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", pytest.fail)  # between two tries
    with pytest.raises(
        ValueError, match=r"^the pretrained .* cannot be loaded \(Connect\w*: .*Connection refused\S*; "
    ):
        load_model("timm:resnet10t", pretrained=True)
    assert not constants.HF_HUB_OFFLINE
    assert not (library_caches / "hf").exists()
    with pytest.raises(ValueError, match="unexpected keyword argument 'depht'"):  # which no connection would mend
        load_model("timm:resnet10t(depht=3)", pretrained=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent", "absent does not exist; name a run directory, freqfast's .safetensors, zoo:NAME"),
        ("squeezenet1_1", "does not exist; name torchvision:squeezenet1_1 with its weights"),
        ("Timm:resnet18", "Timm:resnet18 cannot be imported .*No module named 'Timm'.*; models are a run directory"),
        ("json:nothing", "json:nothing: json has no nothing"),
        ("json:__name__", "json:__name__ is no function or class that returns a model, but str"),
        ("json:JSONDecoder", "json:JSONDecoder must be a torch.nn.Module, got JSONDecoder"),
        ("json:loads", r"json:loads cannot be built \(TypeError: loads\(\) missing"),
        ("json:loads(3", r"json:loads\(3: write arguments as Python does, such as json:loads\(20, width=16\)"),
        ("json:loads(f())", "write arguments as Python does"),
        ("json:loads(1)(2)", "write arguments as Python does"),
        ("a b:c", "'a b:c' names no model: name a run directory"),
        ("gone.py:net", r"gone\.py:net cannot be imported \(FileNotFoundError"),
        ("w.py", r"w\.py is code; name what builds the model in it, as w\.py:CALLABLE"),
        ("exits.py:net", r"exits\.py:net cannot be imported \(SystemExit: 2\)"),
        ("foreign_net.py:trained(3)", r"trained\(3\) cannot be built \("),
        pytest.param(f"json:loads({'1+' * 5000}1)", "write arguments as Python does", id="deep"),
        ("timm:", "timm has no model ''"),
        ("w.th", r"w\.th holds weights, but no model; name the model and pass w\.th as its weights"),
        ("w.pkl", r"w\.pkl holds weights, but no model"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*comes without a file of weights")
def test_specifications_that_name_no_model(place, spec, message):
    for name in ("w.th", "w.pkl"):
        (place / name).write_bytes(b"")
    (place / "w.py").write_text("")
    (place / "exits.py").write_text("raise SystemExit(2)\n")
    write_script(place)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_model(spec, "w.th" if spec.startswith("timm") else None, mean=HALF, std=HALF)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", [False, True])
def test_a_normalisation_that_is_none(run, place, code):
    spec = f"{write_script(place)}:trained" if code else run
    more = ((127, 126, 125), HALF), (HALF[:2], HALF), (HALF[:1], HALF[:1])
    for mean, std in ((HALF, (63, 62, 67)), (HALF, (0.2, 0.0, 0.2)), *more):
        got = " and ".join(",".join(f"{value:g}" for value in values) for values in (mean, std))
        with pytest.raises(ValueError, match=rf"std three in \(0, 1\], .* got {got}; divide those"):
            load_model(spec, mean=mean, std=std)


def test_our_files_have_their_weights(run):
    with pytest.raises(ValueError, match=r"run has its own weights; leave out the weights w\.pth"):
        load_model(run, weights="w.pth")


@pytest.mark.slow
@pytest.mark.skipif("FREQFAST_AKAMASTER" not in os.environ, reason="needs a checkout of pytorch_resnet_cifar10")
@pytest.mark.parametrize(
    ("name", "weights", "error"),
    [("resnet20", "resnet20-12fca82f.th", 8.27), ("resnet56", "resnet56-4bfd9763.th", 6.61)],
)
def test_published_networks_have_their_published_error(name, weights, error):
    from freqfast.data.loading import load_place
    from freqfast.models.classifier import Classifier

    folder = os.environ["FREQFAST_AKAMASTER"]
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = load_model(f"{folder}/resnet.py:{name}", f"{folder}/pretrained_models/{weights}", *imagenet)
    test = load_place(None).test
    classes = Classifier(found.model, found.mean, found.std, precision="float32").predict(test.pixels)
    assert 100 * (classes != test.labels).mean() == pytest.approx(error, abs=0.005)

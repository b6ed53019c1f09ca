"""Networks by what names them."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from freqfast.models import Classifier, IncompleteNetworkError, Network, Preprocessing, write_network
from freqfast.models.build import build_model, timm_preprocessing, torchvision_preprocessing
from freqfast.models.file import write_model
from freqfast.models.sources import load_network
from tests.support.foreign import write_checkpoint, write_script
from tests.support.networks import HALF, QUARTER
from tests.support.sound_model import stored_network

KNOWN = {"mean": HALF, "std": HALF}
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256, 224, "bilinear")
random_weights = pytest.mark.filterwarnings("ignore:.*comes without a file of weights")


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
        network = load_network(place)
        assert (network.name, network.preprocessing) == (str(place), Preprocessing(HALF, QUARTER))
        assert network.classes == tuple("abcdefghij")
        assert not network.module.training
    changed = load_network(run, mean=torch.tensor([0.1, 0.2, 0.3]), crop=24).preprocessing
    assert (changed.mean, changed.std, changed.crop) == (pytest.approx((0.1, 0.2, 0.3)), QUARTER, 24)
    path = run / "model.safetensors"
    for name in ("timm:mine", "zoo:mine"):  # a file of ours may have any name
        path = path.rename(name)
        assert load_network(name).classes == tuple("abcdefghij")


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
            found = load_network(spec, **KNOWN)
    else:
        with pytest.warns(UserWarning, match=r"net.* comes without a file of weights; unless .* they are random"):
            found = load_network(spec, **KNOWN)
    assert (found.name, found.module.training, sys.path) == (spec, False, path)
    assert found.module.linear.weight.shape == ((3, 7) if "7" in call else (10, 4))


def test_two_files_of_one_name(place):
    for name, width in (("a", 4), ("b", 6)):
        (place / name).mkdir()
        script = write_script(place / name)
        script.write_text(script.read_text().replace("width=4", f"width={width}"))
    a, b = (load_network(f"{name}/foreign_net.py:trained", **KNOWN).module for name in "ab")
    assert (a.shape.width, b.shape.width) == (4, 6)


@random_weights
def test_two_files_have_their_own_modules_beside_them(place):
    for name, made in (("a", "mean((2, 3))"), ("b", "amax((2, 3))")):
        (place / name).mkdir()
        write_script(place / name)
        (place / name / "parts_beside.py").write_text(f"def pooled(maps):\n    return maps.{made}\n")
    found = []
    for name in "aba":
        torch.manual_seed(0)
        found.append(load_network(f"{name}/foreign_net.py:net", **KNOWN).module(torch.ones(1, 3, 8, 8)))
    torch.testing.assert_close(found[0], found[2])
    assert not torch.allclose(found[0], found[1])


@random_weights
@pytest.mark.parametrize("call", ["trained", "get()"])
def test_a_model_that_code_gives_twice_is_two_models(place, call):
    script = write_script(place)
    script.write_text(script.read_text() + "\n\ndef get():\n    return trained\n")
    one, other = (load_network(f"foreign_net:{call}", **KNOWN).module for _ in range(2))
    nn.init.zeros_(one.linear.weight)
    assert other.linear.weight.any()


@random_weights
def test_a_folder_with_brackets_in_its_name(place):
    (place / "nets (copy)").mkdir()
    write_script(place / "nets (copy)")
    for call, width in (("trained", 4), ("Net(7, num_classes=3)", 7)):
        assert load_network(f"nets (copy)/foreign_net.py:{call}", **KNOWN).module.linear.in_features == width


@pytest.mark.filterwarnings("error:.*comes without a file of weights")
def test_published_weights_of_years_ago(place):
    script = write_script(place)
    model = load_network(f"{script}:trained", **KNOWN).module
    nn.init.normal_(model.bn1.running_mean)
    path = write_checkpoint(place / "net-12fca82f.th", model)
    found = load_network(f"{script}:net", weights=path, **KNOWN)
    assert found.name == f"{script}:net with net-12fca82f.th"
    torch.testing.assert_close(found.module.state_dict(), model.state_dict(), rtol=0, atol=0)
    message = r"th does not fit .*net\(5\): 6 of another shape, the first is conv1.weight, \(4, 3, 3, 3\) for \(5,"
    with pytest.raises(ValueError, match=message):
        load_network(f"{script}:net(5)", weights=path, **KNOWN)


def test_a_library_s_model_has_the_logits_of_its_weights(place):
    save_file(timm.create_model("test_resnet", num_classes=7).state_dict(), place / "w.safetensors")
    network = load_network("timm:test_resnet(drop_rate=0.25)", weights="w.safetensors")
    config = timm.create_model("test_resnet").pretrained_cfg
    assert network.preprocessing == Preprocessing(config["mean"], config["std"])  # images beside a file have any size
    assert network.module(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert (network.module.drop_rate, network.classes) == (0.25, None)
    named = load_network("timm:test_resnet", weights="w.safetensors", classes=list("abcdefg"))
    assert named.classes == tuple("abcdefg")
    torch.save(torchvision.models.squeezenet1_1(num_classes=5).state_dict(), place / "w.pth")
    other = load_network("torchvision:squeezenet1_1", weights="w.pth", **KNOWN)
    assert other.module(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    for spec, options in (("timm:test_resnet", {"classes": ["a", "b"]}), ("timm:test_resnet(num_classes=2)", {})):
        with pytest.raises(ValueError, match=r"does not fit timm:test_resnet\S*: 2 of .*fc\.\w+, \(7"):
            load_network(spec, weights="w.safetensors", **options)


@random_weights
def test_all_that_is_missing_is_said_at_once(place):
    script = write_script(place)
    for spec, options, missing in (
        ("torchvision:squeezenet1_1", {}, ("weights", "mean", "std")),
        ("torchvision:squeezenet1_1", {"mean": HALF}, ("weights", "std")),
        ("timm:test_resnet", {}, ("weights",)),
        (f"{script}:trained", {}, ("mean", "std")),
        (f"{script}:net", {"std": HALF}, ("mean",)),
    ):
        with pytest.raises(IncompleteNetworkError) as caught:
            load_network(spec, **options)
        assert (caught.value.name, caught.value.missing) == (spec, missing)
        words = {
            "weights": "would have random weights; pass weights,",
            "mean": "pass mean and std",
            "std": "mean and std",
        }
        assert all(words[field] in str(caught.value) for field in missing)
    network = load_network(f"{script}:trained", sees_images=False)
    with pytest.raises(IncompleteNetworkError, match="trained has a normalisation that is not known"):
        Classifier(network)


TOML = """
model = "foreign_net.py:net(6)"
weights = "weights/theirs.th"
mean = [0.1, 0.2, 0.3]
std = [0.5, 0.5, 0.5]
resize = 40
crop = 32
interpolation = "bicubic"
classes = "names.txt"
data = "images"
"""


@pytest.fixture
def described(place):
    """A TOML file beside the script, the weights, the images and the class names of a foreign network."""
    folder = place / "theirs"
    for each in (folder, folder / "weights", folder / "images"):
        each.mkdir()
    script = write_script(folder)
    write_checkpoint(folder / "weights" / "theirs.th", load_network(f"{script}:Net(6)", **KNOWN).module)
    (folder / "names.txt").write_text("\n".join("abcdefghij"))
    (folder / "net.toml").write_text(TOML)
    return folder / "net.toml"


@random_weights
def test_a_file_describes_a_network(described, place):
    network = load_network("theirs/net.toml")
    assert network.name == "theirs/net.toml"
    assert network.preprocessing == Preprocessing((0.1, 0.2, 0.3), HALF, 40, 32, "bicubic")
    assert (network.classes, network.data) == (tuple("abcdefghij"), "theirs/images")
    assert network.module.linear.in_features == 6
    assert network.module.bn1.num_batches_tracked == 0
    # A crop alone takes the length for scaling with it.
    other = load_network(described, std=QUARTER, crop=28, classes=list("jihgfedcba"))
    assert other.preprocessing == Preprocessing((0.1, 0.2, 0.3), QUARTER, 35, 28, "bicubic")
    assert other.classes == tuple("jihgfedcba")
    moved = (described.parent / "weights" / "theirs.th").rename(place / "moved.th")
    with pytest.raises(FileNotFoundError, match=r"theirs/weights/theirs\.th does not exist"):
        load_network(described)
    assert load_network(described, weights=moved).name == f"{described} with moved.th"


@random_weights
def test_a_described_network_is_written_and_read_again(described, place):
    network = load_network(described)
    write_network(place / "again.toml", network)
    again = load_network("again.toml")
    assert again.preprocessing == network.preprocessing
    assert (again.classes, again.data) == (network.classes, str(Path("theirs") / "images"))
    torch.testing.assert_close(again.module.state_dict(), network.module.state_dict(), rtol=0, atol=0)
    made = Network("mine", nn.Identity(), Preprocessing())
    with pytest.raises(ValueError, match="mine was not loaded by a name and a file of weights"):
        write_network("mine.toml", made)


def test_a_file_may_name_any_network(run, place):
    (place / "ours.toml").write_text('model = "run"\ncrop = 24\ndata = "cifar10"\n')
    network = load_network("ours.toml")
    assert (network.classes, network.preprocessing.crop, network.data) == (tuple("abcdefghij"), 24, "cifar10")
    assert network.spec is not None
    (place / "zoo.toml").write_text('model = "zoo:baseline-w16"')
    assert load_network("zoo.toml").classes[0] == "airplane"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net.toml: model is missing"),
        ('model = "zoo:baseline-w16"\nmeans = [1]', "net.toml: unknown key 'means'; the keys are .*mean"),
        ('model = "a:b"\nmean = [124, 116, 104]', "net.toml: mean must be three numbers in .* by 255"),
        ('model = "a:b"\nresize = 20\ncrop = 30', "net.toml: no image scaled to 20 pixels has a crop of 30"),
        ('model = "timm:resnet18"\nweights = "w"\npretrained = true', "leave them out for the weights"),
        ('model = "timm:test_resnet"\nclasses = "absent.txt"', "absent.txt does not exist"),
        ('model = "zoo:baseline-w16"\nclasses = ["a", "b"]', "zoo:baseline-w16 has classes of its own; leave out"),
    ],
)
def test_files_that_describe_no_network(place, text, message):
    (place / "net.toml").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_network("net.toml")


# Weights and preprocessing of the libraries


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", ["resnet10t", "test_resnet"])
def test_images_are_prepared_as_by_timm(photograph, name):
    model = build_model(f"timm:{name}")
    config = timm.data.resolve_model_data_config(model)
    ours = timm_preprocessing(model)
    theirs = timm.data.create_transform(**config, is_training=False, normalize=False)(photograph)
    levels = ours.frame(photograph).astype(int)
    assert np.abs(levels - theirs.numpy().transpose(1, 2, 0)).max() <= 1
    assert (ours.mean, ours.std) == (config["mean"], config["std"])


@pytest.mark.parametrize("weights", ["ResNet50_Weights.DEFAULT", "Swin_T_Weights.DEFAULT"])
def test_images_are_prepared_as_by_torchvision(photograph, weights):
    weights = torchvision.models.get_weight(weights)
    ours = torchvision_preprocessing(weights)
    pixels = transforms.to_image(ours.frame(photograph)) / 255
    assert (transforms.normalize(pixels, ours.mean, ours.std) - weights.transforms()(photograph)).abs().max() < 0.02


@pytest.mark.parametrize(
    ("change", "sizes"),
    [
        ({"crop_mode": "squash"}, (None, None, None)),
        ({"input_size": (3, 224, 160)}, (None, None, None)),
        ({"crop_pct": 0.9, "interpolation": "bicubic"}, (248, 224, "bicubic")),  # of 248.9
    ],
)
def test_what_timm_states_of_sizes(change, sizes):
    model = nn.Identity()
    model.pretrained_cfg = {"input_size": (3, 224, 224), "mean": HALF, "std": QUARTER} | change
    assert timm_preprocessing(model) == Preprocessing(HALF, QUARTER, *sizes)


def test_pretrained_weights_of_the_libraries(library_caches):
    saved = torchvision.models.squeezenet1_1().eval()
    torch.save(saved.state_dict(), library_caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    network = load_network("torchvision:squeezenet1_1", pretrained=True)
    assert network.preprocessing == IMAGENET
    assert torch.equal(network.module.classifier[1].weight, saved.classifier[1].weight)  # a thousand classes

    saved = timm.create_model("resnet10t")
    snapshot = library_caches / "hf" / "models--timm--resnet10t.c3_in1k" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    save_file(saved.state_dict(), snapshot / "model.safetensors")
    network = load_network("timm:resnet10t", pretrained=True, mean=HALF)
    assert network.preprocessing == Preprocessing(HALF, saved.pretrained_cfg["std"], 201, 176, "bicubic")
    assert torch.equal(network.module.fc.weight, saved.fc.weight)
    with pytest.raises(ValueError, match="leave num_classes out; pretrained weights have theirs"):  # a random head
        load_network("timm:resnet10t(num_classes=5)", pretrained=True)
    with pytest.warns(UserWarning, match="images for timm:resnet10t are taken as they are, not squashed or padded"):
        load_network("timm:resnet10t(pretrained_cfg_overlay={'crop_mode': 'squash'})", pretrained=True)


def test_the_normalisation_of_pretrained_weights_is_that_which_their_state_dict_needs(library_caches):
    """torchvision's GoogLeNet changes its input with its own weights alone."""
    saved = torchvision.models.googlenet(init_weights=False).eval()
    torch.save(saved.state_dict(), library_caches / "torch" / "checkpoints" / "googlenet-1378be20.pth")
    network = load_network("torchvision:googlenet", pretrained=True)
    torch.save(network.module.state_dict(), "own.pth")
    stated = network.preprocessing
    spec = "torchvision:googlenet(aux_logits=False, init_weights=False)"
    again = load_network(spec, weights="own.pth", mean=stated.mean, std=stated.std)
    pixels = torch.rand(2, 3, 64, 64)
    saved.transform_input = True
    expected = saved(transforms.normalize(pixels, IMAGENET.mean, IMAGENET.std))
    for each in (network, again):
        normalised = transforms.normalize(pixels, each.preprocessing.mean, each.preprocessing.std)
        torch.testing.assert_close(each.module(normalised), expected, rtol=1e-4, atol=1e-4)


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
        load_network(spec, weights=weights, pretrained=True)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_tried_once(library_caches, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", pytest.fail)  # between two tries
    with pytest.raises(ValueError, match=r"^the pretrained .* cannot be loaded \(\w+: .*; without a connection"):
        load_network("timm:resnet10t", pretrained=True)
    assert not constants.HF_HUB_OFFLINE
    assert not (library_caches / "hf").exists()
    with pytest.raises(ValueError, match="unexpected keyword argument 'depht'"):  # which no connection would mend
        load_network("timm:resnet10t(depht=3)", pretrained=True)


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
@random_weights
def test_specifications_that_name_no_model(place, spec, message):
    for name in ("w.th", "w.pkl"):
        (place / name).write_bytes(b"")
    (place / "w.py").write_text("")
    (place / "exits.py").write_text("raise SystemExit(2)\n")
    write_script(place)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_network(spec, weights="w.th" if spec.startswith("timm") else None, **KNOWN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [(63, 62, 67), (0.2, 0.0, 0.2), HALF[:2]])
def test_a_normalisation_that_is_none(run, values):
    got = ",".join(f"{value:g}" for value in values)
    with pytest.raises(ValueError, match=rf"std must be three numbers in \(0, 1\], got {got}; divide those"):
        load_network(run, std=values)


def test_our_files_have_their_weights(run):
    with pytest.raises(ValueError, match=r"run has its own weights; leave out the weights w\.pth"):
        load_network(run, weights="w.pth")


@pytest.mark.slow
@pytest.mark.skipif("FREQFAST_AKAMASTER" not in os.environ, reason="needs a checkout of pytorch_resnet_cifar10")
@pytest.mark.parametrize(
    ("name", "weights", "error"),
    [("resnet20", "resnet20-12fca82f.th", 8.27), ("resnet56", "resnet56-4bfd9763.th", 6.61)],
)
def test_published_networks_have_their_published_error(name, weights, error):
    from freqfast.data.loading import load_place

    folder = os.environ["FREQFAST_AKAMASTER"]
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = load_network(f"{folder}/resnet.py:{name}", f"{folder}/pretrained_models/{weights}", *imagenet)
    test = load_place(None).test
    classes = Classifier(found.model, found.mean, found.std, precision="float32").predict(test.pixels)
    assert 100 * (classes != test.labels).mean() == pytest.approx(error, abs=0.005)

"""The weights that training starts from."""

import pytest
import torch
from safetensors.torch import save_file

from freqfast.models.build import build_model
from freqfast.models.classifier import hash_weights
from freqfast.models.network import Preprocessing
from freqfast.models.start import architecture, build_start, check_start, hash_pretrained


def assert_all_but_the_head(model, trained, head):
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value) != name.startswith(head), name


def test_weights_of_a_file_with_another_head(tmp_path):
    trained = build_model("timm:test_resnet", classes=7)
    path = tmp_path / "w.safetensors"
    save_file({f"module.{name}": value.contiguous() for name, value in trained.state_dict().items()}, path)
    network = build_start("timm:test_resnet", {"weights": str(path)}, "abcde")
    assert (network.classes, network.spec.options) == (tuple("abcde"), {"classes": 5})
    assert network.module.fc.out_features == 5
    assert_all_but_the_head(network.module, trained, "fc.")
    assert network.preprocessing.mean == tuple(trained.pretrained_cfg["mean"])
    same = build_start("timm:test_resnet", {"weights": str(path)}, "abcdefg")
    torch.testing.assert_close(same.module.state_dict(), trained.state_dict(), rtol=0, atol=0)
    save_file({name: value[:1].contiguous() for name, value in trained.state_dict().items() if value.ndim}, path)
    with pytest.raises(ValueError, match=r"does not fit timm:test_resnet with 5 classes: .* of another shape"):
        build_start("timm:test_resnet", {"weights": str(path)}, "abcde")
    with pytest.raises(ValueError, match="does not fit timm:test_vit with 7 classes"):
        build_start("timm:test_vit", {"weights": str(path)}, "abcdefg")


def test_a_layer_of_as_many_filters_as_classes_is_no_head(tmp_path):
    state = build_model("timm:test_resnet", classes=16).state_dict()
    state["conv1.0.weight"] = state["conv1.0.weight"][:, :1]
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"1 of another shape, the first is conv1\.0\.weight, \(16, 1, 3, 3\) for"):
        build_start("timm:test_resnet", {"weights": str(tmp_path / "w.safetensors")}, range(16))


def test_weights_of_torchvision(library_caches):
    from torchvision.models import squeezenet1_1

    trained = squeezenet1_1()
    path = library_caches / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    torch.save(trained.state_dict(), path)
    network = build_start("torchvision:squeezenet1_1", {"pretrained": True}, "abcde")
    assert_all_but_the_head(network.module, trained, "classifier.1.")
    assert network.preprocessing.std == (0.229, 0.224, 0.225)
    assert hash_pretrained("torchvision:squeezenet1_1", {"pretrained": True}) == hash_weights(trained)
    assert build_start("torchvision:squeezenet1_1", {"weights": str(path)}, "abcde").preprocessing == Preprocessing()


def test_fresh_weights():
    assert build_start("timm:test_resnet", {"pretrained": False}, "abcde").preprocessing == Preprocessing()
    assert hash_pretrained("timm:test_resnet", {"pretrained": False}) is None
    assert architecture("mine", {"weights": "low"}) == {"weights": "low"}  # another package's model has its own options
    assert check_start("mine", {"weights": "low", "pretrained": 3}) is None


@pytest.mark.parametrize("options", [{"pretrained": "yes"}, {"weights": 3}, {"weights": "w.pth", "pretrained": True}])
def test_options_that_make_no_sense(options):
    with pytest.raises(
        ValueError, match=r"'timm:x' has pretrained .* give pretrained = true, or weights a file's path"
    ):
        check_start("timm:x", options)
    with pytest.raises(FileNotFoundError, match=r"absent\.pth does not exist"):
        check_start("timm:x", {"weights": "absent.pth"})

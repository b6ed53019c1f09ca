import hashlib
import warnings
from threading import Lock

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm, weight_norm

from freqfast.models.classifier import hash_weights
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from tests.support.networks import classifier_of, small_network

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def model():
    return small_network()


def normalised(images):
    return torch.from_numpy(((images / 255 - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2))


def plainly(model, images):
    """Classes in float64, image by image, straight from the definition."""
    model = model.double().eval()
    with torch.no_grad():
        logits = torch.cat([model(image[None]) for image in normalised(images)])
    model.float()
    return logits.argmax(1).numpy()


class Turned(nn.Module):
    """What a function makes of its input."""

    def __init__(self, turn):
        super().__init__()
        self.turn = turn

    def forward(self, images):
        return self.turn(images)


def test_batches_of_large_images_are_small():
    classifier = classifier_of(nn.Sequential(nn.Flatten()), MEAN, STD, batch_size=250)
    assert [classifier.images_at_once(side, side) for side in (32, 224, 1500)] == [250, 41, 1]


@pytest.mark.parametrize(("modulated", "batch_size"), [(False, 1), (True, 7), (False, 40), (True, 1000)])
def test_float32_predictions_are_those_of_the_model(model, noise, modulated, batch_size):
    if modulated:
        nn.init.normal_(apply_modulation(model)[0].log_gain)
    images = noise(40)
    images.flags.writeable = False
    found = classifier_of(model, MEAN, STD, batch_size=batch_size).predict(images)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, plainly(model, images))


def test_complex_weights_keep_their_imaginary_part(noise):
    class Phases(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.polar(torch.ones(32, 17), torch.linspace(0, 3, 17).expand(32, 17)))

        def forward(self, images):
            turned = torch.fft.irfft2(torch.fft.rfft2(images) * self.factor, s=images.shape[2:])
            return turned[:, :, ::8, ::8].flatten(1)

    model = Phases()
    classifier = classifier_of(model, (0,) * 3, (1,) * 3)
    images = noise(4, size=32)
    expected = model(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).detach()
    torch.testing.assert_close(classifier.logits(images), expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_predictions_nearly_agree(model, noise):
    images = noise(400)
    found = classifier_of(model, MEAN, STD, precision="bfloat16").predict(images)
    assert (found == plainly(model, images)).mean() > 0.9


def test_the_model_is_not_changed(model, noise):
    apply_modulation(model).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier = classifier_of(model, MEAN, STD, precision="bfloat16")
    classifier.predict(noise(3))
    assert model.training
    assert isinstance(model[0], SpectralConv2d)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(isinstance(module, SpectralConv2d) for module in classifier.model.modules())
    assert not classifier.model.training


def test_an_edited_copy_leaves_the_classifier(model, noise):
    images, classifier = noise(20), classifier_of(model, MEAN, STD)
    edited = classifier.edited(lambda network: network[5].weight.neg_() is network[5].bias.neg_())
    np.testing.assert_array_equal(classifier.predict(images), plainly(model, images))
    assert (edited.predict(images) != classifier.predict(images)).all()


def test_some_of_the_classes():
    brightest = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    named = classifier_of(brightest, MEAN, STD, classes=("red", "green", "blue"))
    assert named.among(["blue"], trained=("red", "green", "blue")).outputs == (2,)


def test_inputs_are_channels_last_and_normalised(model, noise):
    classifier, images, seen = classifier_of(model, MEAN, STD), noise(5), []
    classifier.predict(images)
    classifier._network.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    classifier.predict(images)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(seen[0].numpy(), normalised(images), atol=2e-6)


def test_images_in_float32_are_not_changed(model, noise):
    images = noise(5).astype(np.float32)
    before, classifier = images.copy(), classifier_of(model, MEAN, STD)
    np.testing.assert_array_equal(classifier.predict(images), classifier.predict(images))
    classifier.logits(images)
    np.testing.assert_array_equal(images, before)


def test_weights_are_known_by_their_hash(model):
    first = classifier_of(model, MEAN, STD, precision="bfloat16").weights_sha256
    assert first == classifier_of(model, MEAN, STD).weights_sha256
    with torch.no_grad():
        model[5].bias[3] += 1e-6
    assert first != classifier_of(model, MEAN, STD).weights_sha256


def test_the_hash_is_of_sorted_names_types_shapes_and_bytes():
    """As in version 0.1, whose results say it."""
    model, digest = nn.Linear(2, 1).double(), hashlib.sha256()
    for name, tensor in (("bias", model.bias), ("weight", model.weight)):
        digest.update(f"{name} torch.float64 {tuple(tensor.shape)}\n".encode() + tensor.detach().numpy().tobytes())
    assert hash_weights(model) == digest.hexdigest()


def test_a_sparse_buffer_has_a_hash():
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.eye(2).to_sparse())
    first = hash_weights(model)
    model.mask = 2 * model.mask
    assert hash_weights(model) != first


def test_wrappers_do_not_change_the_hash(model):
    expected = hash_weights(model)
    assert hash_weights(nn.DataParallel(model)) == hash_weights(torch.compile(model, backend="eager")) == expected


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore:.*weight_norm", "ignore:BatchNorm stays as it is")
@pytest.mark.parametrize(
    "change",
    [
        lambda model: prune.l1_unstructured(model[0], "weight", 0.5) and model,
        lambda model: weight_norm(model[0]) and model,
        lambda model: spectral_norm(model[0]) and model,
        lambda model: torch.ao.quantization.quantize_dynamic(model, {nn.Linear}),
    ],
)
@pytest.mark.parametrize("modulated", [False, True])
def test_models_whose_weights_are_computed(change, modulated, model, noise):
    if modulated:
        apply_modulation(model)[0].log_gain.data.normal_(0, 3)
    images, changed = noise(20), change(model.eval())
    classifier = classifier_of(changed, MEAN, STD)
    with torch.no_grad():
        expected = changed(normalised(images).float()).argmax(1)
    np.testing.assert_array_equal(classifier.predict(images), expected)
    edited = classifier.edited(lambda network: None)
    np.testing.assert_array_equal(edited.predict(images), expected)
    assert edited.weights_sha256 == hash_weights(changed)


def test_outputs_that_are_not_finite_are_no_classes(model, noise):
    with torch.no_grad():
        model[5].bias[3] = torch.nan
    with pytest.raises(ValueError, match="mine gives outputs that are not finite"):
        classifier_of(model, MEAN, STD, name="mine").predict(noise(4))


def test_the_logarithm_of_a_probability_of_zero_is_a_logit(model, noise):
    images, classifier = noise(4), classifier_of(model, MEAN, STD)
    least = classifier.logits(images).min(1).values.max()
    found = classifier_of(nn.Sequential(model, nn.Threshold(float(least), -torch.inf)), MEAN, STD)
    np.testing.assert_array_equal(found.predict(images), classifier.predict(images))


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_torchscript_is_refused(model):
    with pytest.raises(ValueError, match="mine is TorchScript, which"):
        classifier_of(torch.jit.script(model.eval()), MEAN, STD, name="mine")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Conv2d(3, 2, 3)], r"must give logits of shape \(4, classes\), .* got a tensor of shape \(4, 2, 6, 6\)"),
        ([nn.Flatten(), nn.Linear(192, 1)], r"must give logits .* two classes or more, got .* shape \(4, 1\)"),
        ([nn.Flatten(), Turned(lambda x: x > 0)], "must give logits .* got .*bool"),
        ([nn.Flatten(), Turned(lambda x: x + 0j)], "must give logits .* got .*complex64"),
        ([nn.Flatten(), Turned(torch.Tensor.to_sparse)], "must give logits .*sparse_coo"),
        ([nn.Flatten(), Turned(lambda x: x.to("meta"))], "must give logits .* got .* on meta"),
        ([nn.Flatten(0), nn.Unflatten(0, (2, -1))], r"must give logits .* got a tensor of shape \(2, 384\)"),
        ([nn.Flatten(), nn.Unflatten(1, (1, -1)), nn.RNN(192, 2)], "must give logits .* got tuple"),
        ([nn.Flatten(), nn.Linear(12, 2)], r"cannot take images of 8x8x3: (addmm: )?mat1 and mat2 shapes"),
    ],
)
def test_models_that_do_not_classify_such_images(noise, layers, message):
    classifier = classifier_of(nn.Sequential(*layers), MEAN, STD, name="mine")
    with pytest.raises(ValueError, match=f"^mine {message}") as caught:
        classifier.predict(noise(4))
    assert "\n" not in str(caught.value)


def test_models_that_cannot_be_copied():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    model.lock = Lock()
    with pytest.raises(ValueError, match=r"^Sequential cannot be copied \(cannot pickle .*lock.* object\); keep"):
        classifier_of(model, MEAN, STD)


class Unsteady(nn.Module):
    """A network whose forward leaves dropout on, or BatchNorm in training mode."""

    def __init__(self, course):
        super().__init__()
        self.norm, self.course = nn.BatchNorm2d(3), course

    def forward(self, images):
        return self.course(self, images).flatten(1)


@pytest.mark.parametrize(
    "course",
    [
        lambda self, x: torch.nn.functional.dropout(x),
        lambda self, x: self.norm.train()(x),
        lambda self, x: x - x.mean((0, 2, 3), keepdim=True),
        lambda self, x: x if len(x) > 1 else 1 / 0,
    ],
)
def test_networks_that_answer_otherwise_each_time_are_told_once(course, noise):
    images = noise(4)
    images[1:] //= 4
    classifier = classifier_of(Unsteady(course), MEAN, STD, name="mine")
    with pytest.warns(UserWarning, match="^mine gives other logits for the same image, at random or by what"):
        classifier.predict(images)
    with warnings.catch_warnings(action="error"):
        classifier.predict(images)
        classifier.edited(lambda network: None).predict(images)

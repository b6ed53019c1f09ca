from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.robustness import CLEAN, CellSource, evaluate_source
from freqfast.robustness.alexnet import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, alexnet_mce, is_imagenet
from tests.support.finished import measured
from tests.support.networks import classifier_of

WORDNET = tuple(f"n{number:08}" for number in range(1000))


def of_errors(errors):
    return measured({key: 1 - error for key, error in errors.items()}, images=10_000)


def test_alexnets_errors_are_the_published_ones():
    """In percent, as most programs that evaluate on ImageNet-C have them, in the order of its corruptions."""
    percent = "88.6 89.4 92.3 82.0 82.6 78.6 79.8 86.7 82.7 81.9 56.5 85.3 64.6 71.8 60.7"
    assert [f"{100 * ALEXNET_ERROR[name]:.1f}" for name in MAIN] == percent.split()


def test_alexnet_itself_has_one_and_half_of_its_errors_are_a_half():
    errors = {(name, severity): ALEXNET_ERROR[name] for name in MAIN for severity in SEVERITIES}
    mce, relative = alexnet_mce(of_errors({CLEAN: ALEXNET_CLEAN_ERROR, **errors}))
    assert mce == pytest.approx(1, abs=2e-4)
    assert relative == pytest.approx(1, abs=1e-3)
    assert alexnet_mce(of_errors(errors)) == (mce, None)
    assert alexnet_mce(of_errors({key: error / 2 for key, error in errors.items()}))[0] == pytest.approx(0.5, abs=2e-4)
    del errors["fog", 3]
    assert alexnet_mce(of_errors(errors)) == (None, None)


def test_imagenet_is_told_by_its_classes_and_its_size():
    assert is_imagenet(WORDNET, 224, 224)
    assert not is_imagenet(WORDNET[:200], 64, 64)  # Tiny-ImageNet
    assert not is_imagenet(WORDNET, 64, 224)
    assert not is_imagenet((*WORDNET[1:], "tench"), 224, 224)
    assert not is_imagenet(WORDNET[:100], 224, 224)  # fewer to choose among than AlexNet had
    assert not is_imagenet(None, 224, 224)


@pytest.mark.parametrize(("classes", "imagenet"), [(WORDNET, True), (WORDNET[:3], False), ("abc", False)])
def test_an_evaluation_says_whether_its_images_are_imagenets(classes, imagenet):
    layers = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(classes))
    model, images = nn.Sequential(*layers), np.zeros((2, 112, 112, 3), np.uint8)
    classifier = classifier_of(model)
    source = CellSource(
        "black", ("fog",), (1,), np.array([0, 1]), read=lambda *key: (images, None), classes=tuple(classes)
    )
    for table, is_alike in ((None, imagenet), ("imagenet", imagenet), ("cifar10", False)):
        (found,) = evaluate_source([classifier], replace(source, table=table))
        assert found.provenance.imagenet is is_alike

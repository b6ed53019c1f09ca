import hashlib
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.data.images import Images
from freqfast.robustness import CLEAN, CellSource, CorruptionResult, corrupted_source, evaluate_source
from freqfast.robustness.evaluation import check_fit
from tests.support.cells import cells_of
from tests.support.networks import classifier_of

NAMES = ("gaussian_noise", "contrast", "pixelate")


def on_fog(classifier, images, labels):
    """Outcomes of a classifier on a single cell."""
    source = CellSource("fog", ("fog",), (1,), labels, read=lambda *key: (images, None))
    return evaluate_source([classifier], source)[0].outcomes["fog", 1]


def test_confidence_is_the_softmax_of_the_predicted_class(model, noise):
    images, labels = noise(60), np.arange(60) % 10
    classifier = classifier_of(model, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), batch_size=7)
    found = on_fog(classifier, images, labels)
    pixels = torch.from_numpy(((images / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]).transpose(0, 3, 1, 2))
    with torch.no_grad():
        probability = model.double().eval()(pixels).softmax(1)
    confidence, classes = probability.max(1)
    assert sum(inside for inside, _, _ in found.bins) == 60
    assert sum(total for _, _, total in found.bins) / 2**24 == pytest.approx(float(confidence.sum()), abs=1e-4)
    np.testing.assert_array_equal(found.correct, classes.numpy() == labels)
    assert found.images_crc32 == zlib.crc32(images.tobytes() + labels.astype("<i8").tobytes())


def test_outputs_that_are_not_finite_are_named(bright, grey):
    spoilt = bright.edited(lambda model: model.middle.fill_(np.nan))
    with pytest.raises(ValueError, match=r"bright gives outputs that are not finite; .* \(on fog 1\)"):
        on_fog(spoilt, grey(0, 255), np.array([0, 1]))


# Sources


@pytest.fixture
def source(noise):
    images = Images(noise(10, size=8), np.arange(10) % 2)
    return corrupted_source(images, NAMES, seed=3)


def test_a_whole_source(bright, source):
    calls = []
    (result,) = evaluate_source([bright], source, progress=lambda *call: calls.append(call))
    cells = list(cells_of(source))
    assert list(result.outcomes.values()) == [on_fog(bright, cell.images, cell.labels) for cell in cells]
    assert list(result.outcomes) == [CLEAN, *((name, s) for name in NAMES for s in (1, 2, 3, 4, 5))]
    assert calls[-1] == (160, 160, "pixelate 5")
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    provenance = result.provenance
    assert provenance.weights_sha256 == bright.weights_sha256
    assert (provenance.seed, provenance.image_range, provenance.cells) == (3, (0, 10), tuple(result.outcomes))
    assert provenance.labels_sha256 == hashlib.sha256((np.arange(10) % 2).astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize("shards", [3, 16])
def test_shards_merge_to_the_whole_in_any_order(bright, source, shards):
    (whole,) = evaluate_source([bright], source)
    parts = [(str(i), evaluate_source([bright], source, (i, shards))[0]) for i in range(1, shards + 1)]
    assert all(set(part.outcomes) < set(whole.outcomes) for _, part in parts)
    for order in (parts, parts[::-1]):
        merged = CorruptionResult.merge(order)
        assert merged == whole
        assert list(merged.outcomes) == list(whole.outcomes)
        assert merged.to_dict() == whole.to_dict()


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 17)])
def test_shards_out_of_range(bright, source, shard):
    message = rf"there is no shard {shard[0]}/{shard[1]}: .* the number of cells, 16"
    with pytest.raises(ValueError, match=message):
        evaluate_source([bright], source, shard)


def test_two_models_read_every_image_once(bright, source):
    other = classifier_of(type(bright.model)(), (0.1,) * 3, (1,) * 3)
    reads = []

    def read(name, severity):
        reads.append((name, severity))
        return source.read(name, severity)

    both = evaluate_source([bright, other], replace(source, read=read))
    assert reads == source.keys[1:]
    assert both == [evaluate_source([each], source)[0] for each in (bright, other)]
    assert both[0].outcomes != both[1].outcomes


def test_models_that_do_not_fit_fail_before_any_work(bright, source):
    unread = replace(source, read=lambda name, severity: pytest.fail("read"))
    with pytest.raises(ValueError, match="bright gives 2 logits, but images, corrupted on the fly has 10 classes"):
        evaluate_source([bright], replace(unread, classes=tuple("abcdefghij")))
    with pytest.raises(ValueError, match="bright gives 2 logits, but the labels run from 0 to 7"):
        evaluate_source([bright], replace(unread, classes=None, labels=np.array([0, 7])))
    large = classifier_of(nn.Conv2d(3, 8, 9), name="large")
    with pytest.raises(ValueError, match="large cannot take images of 8x8x3: Calculated padded input"):
        evaluate_source([large], unread)


@pytest.mark.parametrize(("labels", "span"), [([0, 2], "0 to 2"), ([-1, 1], "-1 to 1")])
def test_labels_of_cells_and_of_clean_images_must_be_classes(bright, grey, labels, span):
    images, labels = grey(0, 255), np.array(labels)
    message = f"bright gives 2 logits, but the labels run from {span}"
    with pytest.raises(ValueError, match=message):
        on_fog(bright, images, labels)
    source = CellSource(
        "fog", ("fog",), (1,), np.array([0, 1]), read=lambda *key: (images, None), clean=Images(images, labels)
    )
    with pytest.raises(ValueError, match=message):
        evaluate_source([bright], source)


def test_models_of_other_classes_are_refused(bright, source):
    bright.classes = ("dark", "light")
    for classes in (None, ("dark", "light")):
        check_fit(bright, source.clean.pixels, source.labels, "data", classes)
    with pytest.raises(ValueError, match="bright was trained on the classes dark, light, but those of data are light,"):
        check_fit(bright, source.clean.pixels, source.labels, "data", ("light", "dark"))


def test_of_many_classes_those_are_named_that_differ(bright, source):
    many = tuple(f"n{number:08}" for number in range(1000))
    bright.classes = many
    message = (
        "bright was trained on the classes n00000002, n00000003, n00000004, ... (number 2 on, of 1000), "
        "but those of data are n00000003, n00000004, n00000005, ... (number 2 on, of 999); name"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        check_fit(bright, source.clean.pixels, source.labels, "data", many[:2] + many[3:])
    with pytest.raises(ValueError, match=r"of data are no more \(number 30 on, of 30\); name data of its own"):
        check_fit(bright, source.clean.pixels, source.labels, "data", many[:30])

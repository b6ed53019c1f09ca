"""The operations of AugMix against Pillow, which its authors use, and what is drawn of them."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from freqfast.methods.operations import OPERATIONS, apply_operations, mix_operations, random_operation

NAMES = list(OPERATIONS)


def smooth_image():
    """28 rows of 32 pixels between 29 and 212, without all levels."""
    y, x = np.mgrid[:28, :32]
    waves = [np.sin(x / 3 + c) + np.cos(y / (4 + c)) + 0.02 * x for c in range(3)]
    return (np.stack(waves, -1) * 35 + 110).astype(np.uint8)


def by_pillow(image, name, strength):
    pillow, level, sign = Image.fromarray(image), abs(strength), np.sign(strength)
    if name == "autocontrast":
        return ImageOps.autocontrast(pillow)
    if name == "equalize":
        return ImageOps.equalize(pillow)
    if name == "posterize":
        return ImageOps.posterize(pillow, 4 - int(level * 4 / 10))
    if name == "solarize":
        return ImageOps.solarize(pillow, 256 - int(level * 256 / 10))
    if name == "rotate":
        return pillow.rotate(sign * int(level * 30 / 10), resample=Image.Resampling.BILINEAR)
    shear, right, down = (sign * level * 0.3 / 10, *(sign * int(level * size / 3 / 10) for size in (32, 28)))
    matrix = {
        "shear_x": (1, shear, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, 0),
        "translate_x": (1, 0, right, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, down),
    }[name]
    return pillow.transform((32, 28), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)


@pytest.mark.parametrize("strength", [0.5, 2.9, -2.9, 9.3])
@pytest.mark.parametrize("name", NAMES)
def test_operations_are_pillows_within_a_level(name, strength):
    image = smooth_image()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - 1e-6  # as undoing a normalisation leaves them
    found = 255 * apply_operations(pixels, torch.tensor([NAMES.index(name)]), torch.tensor([strength]))
    expected = np.asarray(by_pillow(image, name, strength)).astype(float)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected, atol=1.01)


def test_each_image_has_its_own_operation():
    torch.manual_seed(0)
    pixels, kinds, strengths = torch.rand(18, 3, 8, 8), torch.arange(18) % 9, torch.linspace(-3, 3, 18)
    together = apply_operations(pixels, kinds, strengths)
    alone = [apply_operations(pixels[i : i + 1], kinds[i : i + 1], strengths[i : i + 1]) for i in range(18)]
    assert torch.equal(together, torch.cat(alone))
    torch.testing.assert_close(255 * together, (255 * together).round())
    assert float(apply_operations(torch.full((9, 3, 8, 8), 0.2), torch.arange(9), torch.zeros(9)).max()) <= 1


@pytest.mark.parametrize(("options", "severity"), [({}, 3), ({"severity": 4}, 4)])
def test_random_operations_are_all_drawn_up_to_the_severity(options, severity, monkeypatch):
    drawn = {}

    def note(pixels, kinds, strengths):
        drawn["kinds"], drawn["strengths"] = kinds, strengths
        return pixels

    monkeypatch.setattr("freqfast.methods.operations.apply_operations", note)
    torch.manual_seed(0)
    random_operation(torch.rand(2000, 1, 2, 2), **options)
    assert drawn["kinds"].bincount().min() > 150  # 222 on average
    assert 0.1 <= drawn["strengths"].abs().min()
    assert severity - 0.1 < drawn["strengths"].abs().max() <= severity
    assert abs(float(drawn["strengths"].sign().mean())) < 0.1


def test_mixtures_are_of_each_image_by_itself():
    torch.manual_seed(0)
    pixels = (torch.rand(1, 3, 32, 32) * 255).round().expand(16, -1, -1, -1) / 255
    mixed = mix_operations(pixels)
    assert mixed.shape == pixels.shape
    assert mixed.dtype == pixels.dtype
    assert 0 <= float(mixed.min()) <= float(mixed.max()) <= 1 + 1e-6
    assert len(torch.unique(mixed.flatten(1), dim=0)) == 16
    weak, strong = (float((mix_operations(pixels, severity) - pixels).abs().mean()) for severity in (1, 10))
    assert weak < strong


def test_each_of_three_copies_has_one_two_or_three_operations_as_often(monkeypatch):
    calls = []

    def note(pixels, severity):
        calls.append(len(pixels))
        return pixels

    monkeypatch.setattr("freqfast.methods.operations.random_operation", note)
    torch.manual_seed(0)
    mix_operations(torch.zeros(3000, 1, 1, 1))
    np.testing.assert_allclose(np.reshape(calls, (3, 3)) / 3000, [[1, 2 / 3, 1 / 3]] * 3, atol=0.05)


@pytest.mark.parametrize(
    ("copies", "moments"),
    [
        ([1, 1, 1], (1 / 2, 1 / 3)),  # U(0, 1)
        ([1, 0, 0], (1 / 6, 1 / 18)),  # its product with Beta(1, 2): means 1/2 and 1/3, mean squares 1/3 and 1/6
    ],
)
def test_mixtures_are_a_mean_weighted_by_flat_distributions(copies, moments, monkeypatch):
    """With operations that give 1 for 0 in some copies, a mixture of zeros is the weight of these."""
    levels = iter(np.repeat(copies, 3).astype(float))
    monkeypatch.setattr(
        "freqfast.methods.operations.random_operation", lambda pixels, _: torch.full_like(pixels, next(levels))
    )
    torch.manual_seed(0)
    mixed = mix_operations(torch.zeros(20000, 1, 1, 1)).flatten().numpy()
    assert (mixed.mean(), np.mean(mixed**2)) == pytest.approx(moments, rel=0.04)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_pixels_in_other_precisions(dtype):
    pixels = torch.from_numpy(smooth_image()).permute(2, 0, 1).div(255).expand(40, -1, -1, -1)
    for change in (random_operation, mix_operations):
        expected, found = (torch.random.manual_seed(0) and change(one) for one in (pixels, pixels.to(dtype)))
        assert found.dtype == dtype
        assert (found.double() - expected.double()).abs().median() < 0.01

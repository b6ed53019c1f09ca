"""The augmentations of others, in a Learner: which samples, how strong, on the scale of pixels."""

import pytest
import torch
from fastai.callback.core import Callback
from fastai.vision.core import imagenet_stats
from torch import Tensor
from torchvision.transforms import v2

from freqfast.callbacks import AugMix, GaussianNoise

MEAN, STD = (torch.tensor(stat).view(1, 3, 1, 1) for stat in imagenet_stats)


class Watch(Callback):
    def __init__(self, order):
        self.order, self.pixels = order, []

    def before_batch(self):
        self.pixels.append(self.learn.xb[0].as_subclass(Tensor).cpu() * STD + MEAN)


@pytest.mark.parametrize(("callback", "count"), [(GaussianNoise(share=0.5), 8), (AugMix(share=0.25), 4)])
def test_exactly_the_share_in_training_only(callback, count, make_learner):
    before, after = Watch(7), Watch(8.5)
    make_learner().fit(1, 0.0, cbs=[before, callback, after])
    rows = [
        int(((a - b).abs() > 1e-4).flatten(1).any(1).sum()) for a, b in zip(before.pixels, after.pixels, strict=True)
    ]
    assert rows == [count] * 5 + [0]


def test_noise_is_white_of_its_sigma_and_clamped():
    torch.manual_seed(0)
    noise = GaussianNoise(sigma=0.1).change(torch.full((64, 3, 32, 32), 0.5)) - 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.01)
    power = torch.fft.rfft2(noise).abs().square().mean((0, 1))
    assert float(power.std() / power.mean()) < 0.2  # 192 images: 7 % by chance, twice that where the DFT is real
    noisy = GaussianNoise(sigma=0.5).change(torch.rand(8, 3, 32, 32))
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)


def test_mixtures_are_of_each_image_by_itself():
    torch.manual_seed(0)
    pixels = (torch.rand(1, 3, 32, 32) * 255).round().expand(16, -1, -1, -1) / 255
    mixed = AugMix(severity=3).change(pixels)
    assert mixed.shape == pixels.shape
    assert mixed.dtype == pixels.dtype
    assert torch.allclose(255 * mixed, (255 * mixed).round(), atol=1e-3)
    assert len(torch.unique(mixed.flatten(1), dim=0)) == 16
    weak, strong = (float((AugMix(severity=s).change(pixels) - pixels).abs().mean()) for s in (1, 10))
    assert weak < strong


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(sigma=-0.1), "sigma must be finite and not negative, got -0.1"),
        (lambda: GaussianNoise(sigma=float("nan")), "sigma must be finite and not negative, got nan"),
        (lambda: GaussianNoise(share=0), r"share must lie in \(0, 1\], got 0"),
        (lambda: AugMix(severity=11), "severity must be between .* 11"),
        (lambda: AugMix(mean=[0.5]), "mean and std go together"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_mixtures_leave_out_what_resembles_test_corruptions(monkeypatch):
    applied = []

    def note(self, image, name, *args, **options):
        applied.append(name)
        return image

    monkeypatch.setattr(v2.AugMix, "_apply_image_or_video_transform", note)
    AugMix().change(torch.rand(60, 3, 8, 8))
    assert len(set(applied)) > 5
    assert not {"Brightness", "Color", "Contrast", "Sharpness"} & set(applied)

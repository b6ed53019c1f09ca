"""Perturb the spectrum of training samples."""

from torch import Tensor

from freqfast.methods.options import Share
from freqfast.methods.pixels import PixelMethod
from freqfast.records import Amount
from freqfast.spectral.perturbation import perturb_spectrum


class SpectrumPerturbation(PixelMethod):
    """Perturbs the power spectrum of a share of each training batch, as `freqfast.perturb_spectrum` does.

    The default strengths are those of the recipe ``resnet18_cifar10.best``, which also equalizes. Without equalization,
    nothing undoes a loss of contrast, and ``gain=1.6`` helps under it. See `PixelMethod` for the range of pixels.

    Args:
        share: Share of each batch that is perturbed, in (0, 1].
        gain, tilt, shaping, jitter, noise: Strengths from 0, as for `perturb_spectrum`.
        scale: Factor on the widths of blurs and on the noise, as for `perturb_spectrum`; None to follow the image size.
        mean, std: As for `PixelMethod`.

    Examples:
        >>> SpectrumPerturbation(share=0.5, gain=1.6).gain
        1.6
    """

    share: Share = 0.25
    gain: Amount = 0.0
    tilt: Amount = 2.0
    shaping: Amount = 1.0
    jitter: Amount = 0.0
    noise: Amount = 0.08
    scale: Amount | None = None

    def change(self, pixels: Tensor) -> Tensor:
        """Perturb ``(N, C, H, W)`` pixels in [0, 1]."""
        strengths = self.gain, self.tilt, self.shaping, self.jitter, self.noise
        return perturb_spectrum(pixels, *strengths, scale=self.scale)

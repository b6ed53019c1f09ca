"""Perturb the spectrum of training samples."""

from torch import Tensor

from freqfast.callbacks.arguments import SpectrumPerturbationArguments
from freqfast.callbacks.pixels import PixelCallback
from freqfast.spectral.perturbation import perturb_spectrum


class SpectrumPerturbation(SpectrumPerturbationArguments, PixelCallback):
    """Perturbs the power spectrum of a share of each training batch, as `freqfast.perturb_spectrum` does.

    The default strengths are those of the recipe ``resnet18_cifar10.best``, which also equalizes. Without equalization,
    nothing undoes a loss of contrast, and ``gain=1.6`` helps under it. See `PixelCallback` for the range of pixels.

    Args:
        share: Share of each batch that is perturbed, in (0, 1].
        gain: As for `perturb_spectrum`, like the other strengths.
        tilt: Largest radial tilt.
        shaping: Largest scale of a smooth random response.
        jitter: Largest jitter of single frequencies.
        noise: Largest standard deviation of the added noise, in pixel values.
        mean: Channel means of the normalisation, with std; by default those of the DataLoaders' `Normalize`.

    Raises:
        ValueError: If a strength is negative or not finite, the share lies outside (0, 1], or mean comes without std;
            in fit, if the images are not in [0, 1] and no normalisation is known.

    Examples:
        >>> SpectrumPerturbation(share=0.5, gain=1.6).gain
        1.6
    """

    def change(self, pixels: Tensor) -> Tensor:
        """Perturb ``(N, C, H, W)`` pixels in [0, 1]."""
        return perturb_spectrum(pixels, self.gain, self.tilt, self.shaping, self.jitter, self.noise)

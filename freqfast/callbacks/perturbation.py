"""Perturb the spectrum of training samples."""

from torch import Tensor

from freqfast.callbacks.pixels import ChannelValues, PixelCallback
from freqfast.spectral.perturbation import perturb_spectrum
from freqfast.spectral.tensors import check_not_negative

__all__ = ["SpectrumPerturbation"]


class SpectrumPerturbation(PixelCallback):
    """Perturbs the power spectrum of a share of each training batch, as `freqfast.perturb_spectrum` does.

    The result is rounded to the 256 levels of an image file, so that `SpectrumEqualization` cannot undo all of a tilt.
    The default strengths are those of the recipe ``resnet18_cifar10.best``, with equalization; without it a loss of
    contrast is not taken back, and ``gain=1.6`` helps. See `PixelCallback` for the range of pixels.

    Args:
        share: Share of each batch that is perturbed, in (0, 1].
        gain: Largest loss of log amplitude, DC spared; 0 for none.
        tilt: Largest radial tilt; 0 for none.
        shaping: Largest scale of a smooth random response's log amplitude; 0 for none.
        jitter: Largest standard deviation of the log amplitude, by frequency; 0 for none.
        noise: Largest standard deviation of the added noise, in pixel values; 0 for none.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Its standard deviations.

    Raises:
        ValueError: If a strength is negative or not finite, the share lies outside (0, 1], or mean comes without std;
            in fit, if the images are not in [0, 1] and no normalisation is known.

    Examples:
        >>> SpectrumPerturbation(share=0.5, gain=1.6).strengths["gain"]
        1.6
    """

    def __init__(
        self,
        share: float = 0.25,
        gain: float = 0.0,
        tilt: float = 2.0,
        shaping: float = 1.0,
        jitter: float = 0.0,
        noise: float = 0.08,
        mean: ChannelValues = None,
        std: ChannelValues = None,
    ) -> None:
        check_not_negative(gain=gain, tilt=tilt, shaping=shaping, jitter=jitter, noise=noise)
        super().__init__(share, mean, std)
        self.strengths = {"gain": gain, "tilt": tilt, "shaping": shaping, "jitter": jitter, "noise": noise}

    def change(self, pixels: Tensor) -> Tensor:
        """Perturb ``(N, C, H, W)`` pixels in [0, 1]."""
        return perturb_spectrum(pixels, **self.strengths)  # type: ignore[arg-type]

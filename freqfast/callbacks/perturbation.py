"""Perturb the spectrum of training samples."""

from torch import Tensor

from freqfast.callbacks.pixels import ChannelValues, PixelCallback
from freqfast.spectral.perturbation import perturb_spectrum
from freqfast.spectral.tensors import check_not_negative

__all__ = ["SpectrumPerturbation"]


class SpectrumPerturbation(PixelCallback):
    """Perturbs the power spectrum of a share of each training batch, as `freqfast.perturb_spectrum` does.

    The default strengths are those of the recipe ``resnet18_cifar10.best``, with equalization; without it a loss of
    contrast is not taken back, and ``gain=1.6`` helps. See `PixelCallback` for the range of pixels.

    Args:
        share: Share of each batch that is perturbed, in (0, 1].
        gain: As for `perturb_spectrum`, like the other strengths.
        tilt: Largest radial tilt.
        shaping: Largest scale of a smooth random response.
        jitter: Largest jitter of single frequencies.
        noise: Largest standard deviation of the added noise, in pixel values.
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

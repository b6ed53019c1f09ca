"""Train on images with planar waves added to them (AFA)."""

from torch import Tensor

from freqfast.callbacks.options import Share
from freqfast.callbacks.views import ViewsCallback
from freqfast.records import Amount
from freqfast.spectral.waves import add_planar_waves


class FourierBasisAugmentation(ViewsCallback):
    """Adds a planar wave to each channel of a share of each batch, as `freqfast.spectral.waves.add_planar_waves` does.

    After the AFA of Vaish, Wang and Strisciuglio (2024, arXiv:2403.01944), who train on each batch and on a copy of it
    with waves, and average the two losses: two passes per image. Their copies pass through separate BatchNorm layers;
    here batches and copies share those of the network, and nothing is added to it.

    Args:
        share: Share of each batch, or of its copy, that is changed, in (0, 1].
        strength: Mean of the L2 norm of a wave, for an image of 32x32; see `add_planar_waves`.
        clean_too: Train on each batch and a changed copy of it, at two passes per image, rather than on changed
            batches.
        mean, std: As for `PixelCallback`.

    Raises:
        ValueError: If the strength is negative or not finite; otherwise as `ViewsCallback`.

    Examples:
        >>> FourierBasisAugmentation().passes_per_image
        2
        >>> FourierBasisAugmentation(share=0.5, clean_too=False).passes_per_image
        1
    """

    share: Share = 1.0
    strength: Amount = 10.0
    clean_too: bool = True

    def __post_init__(self) -> None:
        """Add a changed copy to each batch if `clean_too` is set."""
        super().__post_init__()
        self.views = int(self.clean_too)

    def change(self, pixels: Tensor) -> Tensor:
        """Add the waves to ``(N, C, H, W)`` pixels in [0, 1]."""
        return add_planar_waves(pixels, self.strength)

"""The methods in Lightning's Trainer."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from freqfast.methods import (
    Antialiasing,
    AugMix,
    FourierBasisAugmentation,
    FrequencyProportion,
    Methods,
    SpectralDecay,
    SpectralModulation,
    SpectrumPerturbation,
)
from freqfast.spectral.bands import band_shares
from freqfast.spectral.modulation import effective_weight

lightning = pytest.importorskip("lightning.pytorch")
from freqfast.integrations.lightning import FrequencyMethods  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Module(lightning.LightningModule):
    """Somebody's module, without a word of freqfast."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, 3)
        )
        self.logged = []

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        self.logged.append(float(loss.detach()))
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def loader():
    torch.manual_seed(1)
    return DataLoader(TensorDataset(torch.rand(24, 3, 8, 8), torch.randint(3, (24,))), batch_size=8)


def methods(views):
    added = {"none": [], "jsd": [AugMix(jsd=1.0)], "copies": [FourierBasisAugmentation()]}[views]
    kept = [FrequencyProportion({"low": 0.5, "high": 0.5}), SpectralModulation(seed=3), Antialiasing(), SpectralDecay()]
    return [*kept, SpectrumPerturbation(), *added]


def trainer(callback, epochs, folder):
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callback, default_root_dir=folder, **options
    )


@pytest.mark.parametrize("views", ["none", "jsd", "copies"])
def test_it_trains_the_bits_of_a_plain_loop(views, tmp_path):
    module, plain, batches = Module(), Module(), loader()
    torch.manual_seed(2)
    trainer(FrequencyMethods(*methods(views)), 1, tmp_path).fit(module, batches)
    running = Methods(plain.net, methods(views))
    optimizer = plain.configure_optimizers()
    torch.manual_seed(2)
    running.start()
    for images, labels in batches:
        loss = running.loss(cross_entropy, plain.net(running.images(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running.step()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, msg=name)
    assert module.net[0].log_gain.any()
    assert "training_step" not in vars(module)
    assert not module.net._forward_hooks
    assert band_shares(effective_weight(module.net[0])).amax(1).min() > 0.899


def test_a_checkpoint_goes_on_with_the_noise(tmp_path):
    first, whole, rest = Module(), Module(), Module()
    run = trainer(FrequencyMethods(*methods("none")), 2, tmp_path)
    run.fit(first, loader())
    run.save_checkpoint(tmp_path / "it.ckpt", weights_only=False)
    assert first.net[0].draws == 6
    trainer(FrequencyMethods(*methods("none")), 4, tmp_path).fit(rest, loader(), ckpt_path=tmp_path / "it.ckpt")
    assert rest.net[0].draws == 12
    trainer(FrequencyMethods(SpectralModulation(seed=3)), 1, tmp_path).fit(whole, loader())
    assert whole.net[0].draws == 3


def test_an_exception_leaves_the_module_as_it_was(tmp_path):
    module = Module()

    def broken(batch, batch_idx):
        raise OSError("thrown")

    module.net.register_forward_pre_hook(lambda *_: broken(0, 0))
    with pytest.raises(OSError, match="thrown"):
        trainer(FrequencyMethods(SpectrumPerturbation()), 1, tmp_path).fit(module, loader())
    assert "training_step" not in vars(module)
    assert len(module.net._forward_pre_hooks) == 1


def test_manual_optimization_is_refused(tmp_path):
    module = Module()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match="optimizes by hand; use freqfast"):
        trainer(FrequencyMethods(SpectrumPerturbation()), 1, tmp_path).fit(module, loader())

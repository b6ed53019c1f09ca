"""The methods in Hugging Face's Trainer, and networks that it saves."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import default_collate

from freqfast.methods import (
    Antialiasing,
    AugMix,
    FourierBasisAugmentation,
    FrequencyProportion,
    Methods,
    SpectralDecay,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
)
from freqfast.spectral.surgery import find_conv

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from freqfast.integrations.transformers import FrequencyMethods  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
MEAN, STD = [0.5] * 3, [0.25] * 3


def network():
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def examples(count=24):
    torch.manual_seed(1)
    images, labels = (torch.rand(count, 3, 32, 32) - 0.5) / 0.25, torch.randint(3, (count,))
    return [{"pixel_values": image, "labels": label} for image, label in zip(images, labels, strict=True)]


def seeded_collate(rows):
    """Draws what follows from the batch alone, as the Trainer draws seeds of its own in between."""
    batch = default_collate(rows)
    torch.manual_seed(int(1e6 * batch["pixel_values"].abs().sum()))
    return batch


def methods(views):
    added = {"none": [], "jsd": [AugMix(jsd=1.0)], "copies": [FourierBasisAugmentation()]}[views]
    kept = [FrequencyProportion({"low": 0.5, "high": 0.5}), SpectralModulation(seed=3), SpectralDecay(0.1)]
    return [*kept, Antialiasing(), SpectrumEqualization(bins=1), SpectrumPerturbation(), *added]


def train(model, views, folder, steps, resume=None, **options):
    callback = FrequencyMethods(model, *methods(views), mean=MEAN, std=STD)
    arguments = transformers.TrainingArguments(
        output_dir=folder, max_steps=steps, per_device_train_batch_size=8, optim="sgd", learning_rate=0.05,
        lr_scheduler_type="constant", max_grad_norm=0.0, use_cpu=True, report_to=[], disable_tqdm=True, **options,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model, arguments, callback.collate(seeded_collate), examples(), examples(8), callbacks=[callback]
    )
    trainer._get_train_sampler = lambda *_: None
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("views", ["none", "jsd", "copies"])
def test_it_trains_the_bits_of_a_plain_loop(views, tmp_path):
    model, plain = network(), network()
    train(model, views, tmp_path, 3, save_strategy="no", eval_strategy="steps", eval_steps=1)
    running = Methods(plain, methods(views), mean=MEAN, std=STD)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    plain.train()
    running.start()
    rows = examples()
    for start in range(0, 24, 8):
        batch = seeded_collate(rows[start : start + 8])
        logits = plain(running.images(batch["pixel_values"])).logits
        running.loss(cross_entropy, logits, batch["labels"]).backward()
        optimizer.step()
        optimizer.zero_grad()
        running.step()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-5, rtol=1e-4, msg=name)
    assert find_conv(model)[1].log_gain.any()


def test_a_checkpoint_goes_on_with_the_noise(tmp_path):
    first, whole, rest = network(), network(), network()
    train(first, "none", tmp_path / "a", 3, save_strategy="steps", save_steps=3)
    train(rest, "none", tmp_path / "a", 6, resume=str(tmp_path / "a" / "checkpoint-3"), save_strategy="no")
    train(whole, "none", tmp_path / "b", 6, save_strategy="no")
    assert [find_conv(each)[1].draws for each in (first, rest, whole)] == [3, 6, 6]


def test_a_saved_network_comes_back_with_its_parts(tmp_path):
    model = network()
    train(model, "none", tmp_path, 3, save_strategy="no")
    images = torch.stack([row["pixel_values"] for row in examples()])
    model.eval().save_pretrained(tmp_path / "net")
    for kind in (transformers.ResNetForImageClassification, transformers.AutoModelForImageClassification):
        loaded, info = kind.from_pretrained(tmp_path / "net", output_loading_info=True)
        assert not info["missing_keys"]
        torch.testing.assert_close(loaded(images).logits, model(images).logits)
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    with pytest.raises(ValueError, match="has parts of freqfast"):
        transformers.ResNetForImageClassification.from_pretrained(tmp_path / "shards")
    network().save_pretrained(tmp_path / "plain")
    assert transformers.ResNetForImageClassification.from_pretrained(tmp_path / "plain")


def test_label_smoothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="label smoothing leaves the model without labels"):
        train(network(), "none", tmp_path, 1, save_strategy="no", label_smoothing_factor=0.1)

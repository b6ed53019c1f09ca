"""The networks that come with the package: each file is the one that its card describes, and it works."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from freqfast import load_network
from freqfast.data import load_data
from freqfast.models import zoo
from freqfast.models.classifier import Classifier
from freqfast.models.file import read_file, write_model
from freqfast.models.zoo import Accuracy, Card, network_path, read_cards
from freqfast.records import write_record
from freqfast.runs.registry import load_recipe
from tests.support.sound_model import stored_network

CARDS = read_cards()


def test_every_network_has_a_card_and_every_card_a_network():
    folder = Path(zoo.__file__).parent
    assert {path.stem for path in folder.glob("*.safetensors")} == CARDS.keys()


@pytest.mark.parametrize("name", CARDS)
def test_card_and_file_agree_and_the_network_classifies(name, noise):
    card, path, network = CARDS[name], network_path(name), load_network(f"zoo:{name}")
    (header, _), recipe = read_file(path), load_recipe(card.recipe)
    assert header.model.options["width"] == card.width
    assert bool(header.antialiasing) == ("antialiasing" in recipe.callbacks)
    assert bool(header.equalization) == ("spectrum_equalization" in recipe.callbacks)
    assert card.accuracy.keys() == {"clean", "mean15", "mean7", "mean_bar"}
    assert all(one.low < one.value < one.high for one in card.accuracy.values())
    assert len(card.commit) == 40
    assert path.stat().st_size < 2.1 * sum(p.numel() for p in network.module.parameters())
    assert (network.name, len(network.classes), network.module.training) == (f"zoo:{name}", 10, False)
    assert all(p.dtype == torch.float32 for p in network.module.parameters())
    logits = Classifier(network).logits(noise(4, size=32))
    assert logits.shape == (4, 10)
    assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.skipif("FREQFAST_DATA" not in os.environ, reason="needs CIFAR-10 in FREQFAST_DATA")
@pytest.mark.parametrize("name", CARDS)
def test_clean_accuracy_is_that_of_the_card(name):
    network, data = load_network(f"zoo:{name}"), load_data("cifar10")
    assert network.classes == data.classes
    predicted = Classifier(network).predict(data.test.pixels)
    assert np.mean(predicted == data.test.labels) == pytest.approx(CARDS[name].accuracy["clean"].value, abs=0.002)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A zoo of one network, `tiny`."""
    monkeypatch.setattr(zoo, "_FOLDER", tmp_path)
    path = tmp_path / "tiny.safetensors"
    write_model(path, stored_network("ab"), half=True)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    told = {"description": "a tiny one", "recipe": "mine", "training": "none", "test": "none", "precision": "float32"}
    clean = {"clean": Accuracy(0.5, 0.4, 0.6)}
    card = Card(**told, width=8, epochs=0, seed=0, commit="0" * 40, accuracy=clean, sha256=sha256)
    write_record(tmp_path / "tiny.toml", card)
    return tmp_path


def test_another_file_than_the_cards_is_refused(folder):
    write_model(folder / "tiny.safetensors", stored_network("ab", mean=(0.1,) * 3), half=True)
    with pytest.raises(ValueError, match=r"tiny.safetensors is missing or damaged; install freqfast anew"):
        load_network("zoo:tiny")
    (folder / "tiny.safetensors").unlink()
    with pytest.raises(ValueError, match="is missing or damaged"):
        network_path("tiny")


def test_two_files_add_a_network_of_this_name_alone(folder):
    assert list(read_cards()) == ["tiny"]
    assert load_network("zoo:tiny").classes == ("a", "b")
    with pytest.raises(ValueError, match=r"has no network '../tiny'; it has tiny"):
        load_network("zoo:../tiny")
    with pytest.raises(FileNotFoundError, match="tiny does not exist; name zoo:tiny"):
        load_network("tiny")
    with pytest.raises(ValueError, match="zoo:tiny has its own weights"):
        load_network("zoo:tiny", weights="w.pth")

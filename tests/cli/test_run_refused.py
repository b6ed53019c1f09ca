"""What `freqfast run` refuses before it has made or changed anything."""

import os

import pytest

import freqfast.training  # noqa: F401 - here, for the warnings of what it imports are no part of the one line

TINY = ("--set", "model.width=8", "--set", "batch_size=16", "--set", "test_images=2", "--set", "lr=0.05", "--epochs", 1)
BASELINE = ("run", "resnet18_cifar10.baseline")
LOW = ("run", "resnet18_cifar10.proportion_low")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "wdith=4"), "unknown key 'wdith'; this recipe has batch_size, data, description, epochs"),
        (("--set", "nosuch.purity=0.9"), "unknown key 'nosuch.purity'"),
        (("--set", "frequency_proportion.puriti=0.9"), "frequency_proportion has no argument 'puriti'"),
        (("--set", "frequency_proportion.purity=9.0"), "purity must lie between 0.5 and"),
        (("--set", "frequency_proportion.purity=nan"), "purity"),
        (("--set", "frequency_proportion.purity=true"), "purity must be of type float, got True"),
        (("--set", "frequency_proportion.proportions.low.x=1"), "looks inside 'low'"),
        (("--set", "frequency_proportion.proportions={low=0.5}"), "proportions must sum to 1, got 0.5"),
        (("--set", "model.width=4.0"), "width must be of type int, got 4.0"),
        (("--set", "model.width=true"), "width must be of type int, got True"),
        (("--set", "model.width=0"), "width must lie in 8..1024, got 0"),
        (("--set", f"model.width={10**30}"), "width must lie in 8..1024"),
        (("--set", f"lr={10**400}"), "lr must be of type float"),
        (("--set", "lr=nan"), "lr must be finite"),
        (("--set", "lr=-1"), "lr must be finite and not negative, got -1"),
        (("--set", "precision=float32"), "--set precision=float32: write KEY=VALUE with a TOML value"),
        (("--set", "precision='half'"), "precision must be one of auto, bfloat16, float32"),
        (("--set", "width"), "--set width: write KEY=VALUE"),
        (("--set", "=3"), "--set =3: write KEY=VALUE"),
        (("--set", "model.width="), "--set width=: write KEY=VALUE"),
        (("--set", "model.width=4\nepochs=9"), "write KEY=VALUE"),
        (("--set", "model.width=" + "[" * 3000), "write KEY=VALUE"),
        (("--set", "model.width=" + "9" * 5000), "write KEY=VALUE"),
        (("--set", "name='x'"), "unknown key 'name'"),
        (("--set", "data='imagenet'"), "unknown data 'imagenet'"),
        (("--epochs", "0"), "epochs must lie in"),
        (("--epochs", "2", "--set", "epochs=3"), "--epochs 2 and --set epochs=3 contradict each other; leave one out"),
        (("--epochs", "-3"), "epochs must lie in"),
        (("--seed", "-1"), "seed must lie in"),
        (("--seed", str(2**40)), "seed must lie in"),
        (("--device", "abacus"), "device 'abacus' is not available here"),
        (("--data", "absent"), "absent does not exist"),
        (("--data", "."), ". holds no data set: name an archive"),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, tuple) else "",
)
def test_bad_input_is_one_line_and_nothing_appears(refused, place, tree, monkeypatch, words, message):
    monkeypatch.setenv("FREQFAST_DATA", str(tree))
    monkeypatch.setenv("FREQFAST_CACHE", str(_decoded(tree)))
    assert message in refused(*LOW, "--set", "batch_size=16", *words, "--out", "deep/out")


def _decoded(tree):
    """A cache that holds the tree already, so that what a refused run leaves can be told from it."""
    from freqfast.data import load_data

    load_data("cifar10", tree)
    return os.environ["FREQFAST_CACHE"]


@pytest.mark.parametrize("name", ["nosuch", "", "resnet18_cifar10", "../quickstart"])
def test_unknown_recipe_lists_those_that_exist(refused, name):
    assert refused("run", name).startswith(f"freqfast: unknown recipe {name!r}; the recipes are quickstart, resnet18")


def test_a_path_for_the_photos_is_refused(refused, tree):
    assert "leave it out" in refused("run", "quickstart", "--data", tree)


def test_an_out_that_exists_is_refused_before_the_heavy_imports(refused, place):
    (place / "there").mkdir()
    assert "there exists already" in refused("run", "quickstart", "--out", "there")
    (place / "file").write_text("")
    assert "file exists already" in refused("run", "quickstart", "--out", "file")


def test_unwritable_out_is_named(refused, place, tree):
    _decoded(tree)
    (place / "file").write_text("in the way")
    told = refused(*BASELINE, "--data", tree, *TINY, "--out", "file/run")
    assert "file/run cannot be made (" in told
    assert "; choose another --out" in told


def test_hostile_data_is_one_line(refused, tree):
    (tree / "train" / "dark" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    assert "train/dark/3.png cannot be used as an image" in refused(*BASELINE, "--data", tree, *TINY)

"""What `freqfast run` refuses before it has made or changed anything."""

import pytest

import freqfast.training  # noqa: F401 - here, for the warnings of what it imports are no part of the one line
from freqfast.data import load_data

LOW = ("run", "resnet18_cifar10.proportion_low", "--set", "batch_size=16", "--set", "model.width=8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "wdith=4"), "unknown key 'wdith'; this recipe has "),
        (("--set", "frequency_proportion.purity=9.0"), "purity"),
        (("--set", "model='resnet81'"), "unknown model 'resnet81'; "),
        (("--set", "precision=float32"), "--set precision=float32: write KEY=VALUE with a TOML value"),
        (("--set", "width"), "--set width: write KEY=VALUE"),
        (("--set", "=3"), "--set =3: write KEY=VALUE"),
        (("--set", "lr=4\nepochs=9"), "write KEY=VALUE"),
        (("--set", "lr=" + "[" * 3000), "write KEY=VALUE"),
        (("--set", "data='imagenet'"), "unknown data 'imagenet'"),
        (("--epochs", "2", "--set", "epochs=3"), "--epochs 2 and --set epochs=3 contradict each other; leave one out"),
        (("--set", "epochs=2", "--set", "epochs=3"), "--set epochs=3: epochs was set before; leave one out"),
        (("--seed", "0", "--seed", "1"), "--seed was given twice, and takes one value; leave one out"),
        (("--device", "abacus"), "device 'abacus' is not available here"),
        (("--data", "absent"), "absent does not exist; name an archive or a folder of images"),
        (("--save-minutes", "-1"), "--save-minutes"),
        (("--set", "model.kernel_size=3.5"), "width and kernel_size must be whole numbers"),
        (("--data", "."), ". holds no data set"),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, tuple) else "",
)
def test_bad_input_is_one_line_and_nothing_appears(refused, tree, monkeypatch, words, message):
    monkeypatch.setenv("FREQFAST_DATA", str(tree))
    load_data("cifar10", tree)  # into the cache, so that what a refused run leaves can be told from it
    assert message in refused(*LOW, *words, "--out", "deep/out")


def test_several_processes_need_a_named_directory(refused, monkeypatch):
    names = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))
    assert "several processes need one run directory; name it by --out" in refused("run", "quickstart")


def test_an_out_that_exists_or_cannot_be_made(refused, place, tree):
    load_data("cifar10", tree)
    (place / "there").mkdir()
    assert "there exists already; choose another --out" in refused("run", "quickstart", "--out", "there")
    (place / "file").write_text("in the way")
    assert "file exists already; choose another --out" in refused("run", "quickstart", "--out", "file")
    assert "file/run cannot be made, since " in refused(*LOW, "--data", tree, "--out", "file/run")

import sys

import pytest

from freqfast.data import load_data
from freqfast.plugins import plugin_versions
from freqfast.recipe import Recipe
from freqfast.training import build_callbacks
from freqfast.training.environment import describe_environment


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a third party's distribution importable, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(source, point):
        (tmp_path / "thirdparty_callbacks.py").write_text(source)
        info = tmp_path / "thirdparty_callbacks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-callbacks\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[freqfast.callbacks]\n{point}\n")

    yield make
    sys.modules.pop("thirdparty_callbacks", None)


def test_callback_of_a_third_party(install):
    source = (
        "from fastai.callback.core import Callback\n"
        "class Ours(Callback):\n"
        "    def __init__(self, strength: float, names: list[str] | None = None):\n"
        "        self.strength, self.names = strength, names\n"
    )
    install(source, "ours = thirdparty_callbacks:Ours")
    (callback,) = build_callbacks(Recipe("x", callbacks={"ours": {"strength": 2, "names": ["a"]}}))
    assert (type(callback).__name__, callback.strength, callback.names) == ("Ours", 2, ["a"])
    for options, message in (
        ({"strength": "2"}, "ours.strength must be of type float, got '2'"),
        ({"strength": 1, "names": [1]}, "ours.names must be of type"),
        ({}, "ours: .*strength"),
        ({"weakness": 1}, "ours has no argument 'weakness'; its arguments are strength, names"),
    ):
        with pytest.raises(ValueError, match=message):
            build_callbacks(Recipe("x", callbacks={"ours": options}))


def test_its_version_is_part_of_a_runs_environment(install):
    before = plugin_versions()
    assert "freqfast" not in before  # it is listed by itself
    install("thing = 1", "ours = thirdparty_callbacks:thing\nmine = thirdparty_callbacks:thing")
    assert plugin_versions() == before | {"thirdparty-callbacks": "1.0"}
    environment = describe_environment(Recipe("x", data="photos"), load_data("photos"), None, "cpu")
    assert environment["packages"]["thirdparty-callbacks"] == "1.0"
    assert environment["packages"]["torch"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('out of order')", "cannot be imported: out of order"),
        ("import no_such_package", "cannot be imported: .*no_such_package"),
        ("", "cannot be imported: .*Bad"),
        ("Bad = 3", "is no class of fastai callbacks"),
        ("class Bad: pass", "is no class of fastai callbacks"),
    ],
)
def test_unsound_callback_is_named(install, source, message):
    install(source, "bad = thirdparty_callbacks:Bad")
    with pytest.raises(ValueError, match=rf"callback entry point 'bad' \(thirdparty_callbacks:Bad\) {message}"):
        build_callbacks(Recipe("x", callbacks={"bad": {}}))


def test_a_callbacks_own_error_is_named(install):
    source = (
        "from fastai.callback.core import Callback\n"
        "class Bad(Callback):\n"
        "    def __init__(self): raise ValueError('not today')\n"
    )
    install(source, "bad = thirdparty_callbacks:Bad")
    with pytest.raises(ValueError, match=r"^bad: not today$"):
        build_callbacks(Recipe("x", callbacks={"bad": {}}))

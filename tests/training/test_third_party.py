import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from freqfast.data import load_data
from freqfast.plugins import plugin_versions
from freqfast.runs.environment import describe_environment
from freqfast.runs.recipe import Recipe
from freqfast.training import build_callbacks, run_recipe
from tests.support.tiny import FILES, TINY


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a third party's distribution importable, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(source, point, group="callbacks"):
        (tmp_path / "thirdparty_callbacks.py").write_text(source)
        info = tmp_path / "thirdparty_callbacks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-callbacks\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[freqfast.{group}]\n{point}\n")

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


def test_what_toml_cannot_say_is_taken_as_it_is_meant(install):
    source = (
        "from pathlib import Path\n"
        "from typing import Sequence\n"
        "from fastai.callback.core import Callback\n"
        "class Ours(Callback):\n"
        "    def __init__(self, limits: tuple[float, float] | None, place: Path, steps: Sequence):\n"
        "        self.arguments = limits, place, steps\n"
    )
    install(source, "ours = thirdparty_callbacks:Ours")
    options = {"limits": (0, 2.5), "place": "there", "steps": [1, 2]}
    (callback,) = build_callbacks(Recipe("x", callbacks={"ours": options}))
    assert callback.arguments == ((0, 2.5), Path("there"), [1, 2])
    with pytest.raises(ValueError, match=r"ours\.limits must be of type tuple"):
        build_callbacks(Recipe("x", callbacks={"ours": options | {"limits": [0, 1, 2]}}))


def test_annotations_for_type_checkers_alone_are_not_checked(install):
    source = (
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from fastai.callback.core import Callback\n"
        "if TYPE_CHECKING: from collections.abc import Sequence\n"
        "class Ours(Callback):\n"
        "    def __init__(self, limits: Sequence): self.limits = limits\n"
    )
    install(source, "ours = thirdparty_callbacks:Ours")
    (callback,) = build_callbacks(Recipe("x", callbacks={"ours": {"limits": [1]}}))
    assert callback.limits == [1]
    with pytest.raises(ValueError, match="ours has no argument 'limit'"):
        build_callbacks(Recipe("x", callbacks={"ours": {"limit": [1]}}))


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


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package", "corruption entry point 'bad' .* cannot be imported: .*no_such_package"),
        ("def bad(images, severity): return images", r"corruption 'bad' failed at severity 1 \(TypeError: "),
        ("def bad(images, severity, rng): return images.float()", "corruption 'bad' turned uint8 .* into .*float32"),
        ("def bad(images, severity, rng): return images.numpy()", "corruption 'bad' must return a tensor, got ndarray"),
        (
            "def bad(images, severity, rng): return images // [1, 2, 3, 4][severity - 1]",
            r"corruption 'bad' failed at severity 5 \(IndexError: list index out of range\)",
        ),
    ],
)
def test_a_faulty_corruption_is_refused_before_the_training(install, tree, tmp_path, source, message):
    install(source, "bad = thirdparty_callbacks:bad", "corruptions")
    with pytest.raises(ValueError, match=rf"^{message}.*; mend it, or uninstall its package") as caught:
        run_recipe(TINY, tmp_path / "run", tree, "cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_evaluation_fails_keeps_its_weights_and_goes_on(install, tree, tmp_path, monkeypatch):
    """Such as a corruption that fails on some images only."""
    source = (
        "def bad(images, severity, rng):\n    if len(images) > 1: raise KeyError('many')\n    return 255 - images\n"
    )
    install(source, "bad = thirdparty_callbacks:bad", "corruptions")
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast", "bad"))
    recipe, out = replace(TINY, epochs=1), tmp_path / "run"
    message = r"corruption 'bad' failed .*'many'.*; the trained weights are kept; .* --resume \S+run` goes on"
    with pytest.raises(ValueError, match=message):
        run_recipe(recipe, out, tree, "cpu")
    assert (out / "model.safetensors").exists()
    monkeypatch.setattr(sys.modules["thirdparty_callbacks"], "bad", lambda images, severity, rng: 255 - images)
    trained = (out / "metrics.csv").read_text()
    run = run_recipe(recipe, out, tree, "cpu", resume=True)
    assert set(run.report["accuracy"]) == {"contrast", "bad"}
    assert (out / "metrics.csv").read_text() == trained  # its clock times too
    assert sorted(os.listdir(out)) == FILES

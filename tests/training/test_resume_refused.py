"""When a run does not go on: another recipe, settings or data than those of its start, or no run at all."""

import json
from dataclasses import replace

import pytest

from freqfast.runs.directory import RunDirectory
from freqfast.training import run_recipe
from freqfast.training.checkpoint import CheckpointFolder
from tests.support.tiny import TINY

pytestmark = pytest.mark.usefixtures("two_corruptions")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, r"was started with lr 0\.05, the recipe given has 0\.1; give the same recipe or another run"),
        ({"width": 16, "seed": 3}, "was started with width 8, the recipe given has 16"),
        ({"callbacks": {"spectrum_perturbation": {"share": 0.25}}}, r"callbacks\.\w+"),
        (
            {"callbacks": {name: TINY.callbacks[name] for name in TINY.callbacks if name != "antialiasing"}},
            r"was started with callbacks\.antialiasing {}, the recipe given has None",
        ),
    ],
)
def test_another_recipe_is_refused(unfinished, changes, message):
    with pytest.raises(ValueError, match=message):
        run_recipe(replace(TINY, **changes), unfinished, resume=True)


def test_what_is_no_run_is_refused(tmp_path, tree):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("folder", "file"):
        with pytest.raises(FileNotFoundError, match=f"{name} is no run directory: recipe.toml is missing"):
            run_recipe(TINY, tmp_path / name, tree, resume=True)


def change(folder, **changes):
    """Write other values into a run's environment.json."""
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": 2}, r"checkpoints are of a run with threads 1, but its environment\.json says 2; put that file"),
        ({"precision": "bfloat16"}, "of a run with precision float32, but"),
    ],
)
def test_settings_that_are_not_those_of_the_checkpoints_are_refused(unfinished, changes, message):
    change(unfinished, **changes)
    with pytest.raises(ValueError, match=message.replace("checkpoints", r"the checkpoints in \S+")):
        run_recipe(TINY, unfinished, resume=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": None}, {"position": [1]}, {"position": ["x", 0]}, {"seconds": []}, {"metrics": 3}, {"order": [3]},
        {"start": None}, {"training": None}, {"training": {}}, {"training": {"model": {}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_sound_file_that_holds_no_training_is_one_line(unfinished, changes):
    folder = CheckpointFolder(unfinished / "checkpoints")
    state = folder.load()
    for file in folder.files():
        file.unlink()
    folder.save(*state["position"], state | changes)
    with pytest.raises(
        ValueError, match=r"holds no training \(.*\); remove that folder|does not fit this tr"
    ) as caught:
        run_recipe(TINY, unfinished, resume=True)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_was_written_into_is_refused(unfinished):
    """Another value is another run; where the text still is a recipe, only its hash tells."""
    path = unfinished / "recipe.toml"
    path.write_text(path.read_text().replace("lr = 0.05", "lr = 0.06"))
    with pytest.raises(ValueError, match=r"recipe\.toml has changed since the run was started .*put the old text back"):
        run_recipe(RunDirectory(unfinished).read_recipe(), unfinished, resume=True)


def test_another_environment_is_told(unfinished):
    packages = json.loads((unfinished / "environment.json").read_text())["packages"]
    change(unfinished, packages=packages | {"torch": "2.0.0"})
    with pytest.warns(UserWarning, match=r"may differ: packages\.torch: 2\.0\.0, now"):
        run_recipe(TINY, unfinished, resume=True)


@pytest.mark.parametrize("missing", ["threads", "data"])
def test_an_environment_that_lacks_something(unfinished, missing):
    path = unfinished / "environment.json"
    environment = json.loads(path.read_text())
    del environment[missing]
    path.write_text(json.dumps(environment))
    with pytest.raises(
        ValueError, match=rf"environment\.json lacks '{missing}', so this run cannot be repeated exactly"
    ):
        run_recipe(TINY, unfinished, resume=True)


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ("/gone", FileNotFoundError, r"^/gone, the data of \S+, does not exist; say where it is now by --data$"),
        ("\0", FileNotFoundError, "does not exist"),
        (3, ValueError, r"environment\.json has 3 for the path of the data; put the old file back$"),
        (["a"], ValueError, r"has \['a'\] for the path"),
    ],
)
def test_a_place_of_the_data_that_is_none(unfinished, place, kind, message):
    environment = json.loads((unfinished / "environment.json").read_text())
    change(unfinished, data=environment["data"] | {"path": place})
    with pytest.raises(kind, match=message):
        run_recipe(TINY, unfinished, resume=True)

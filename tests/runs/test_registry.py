"""Recipes by their names: those built in, and those that other packages register."""

import sys
from dataclasses import replace

import pytest

from freqfast.runs.recipe import Recipe, apply_overrides
from freqfast.runs.registry import find_recipe, list_recipes, load_recipe

ARMS = (
    "antialiasing", "antialiasing_equalization_shaping", "baseline", "best", "best_hybrid", "equalization",
    "equalization_perturbation", "equalization_tilt", "modulation", "modulation_perturbation", "perturbation",
    "proportion_balanced", "proportion_high", "proportion_low", "proportion_perturbation",
)  # fmt: skip
BUILT_IN = {
    "quickstart",
    "quickstart_baseline",
    "robust",
    "robust_photographs",
    *(f"resnet18_cifar10.{arm}" for arm in ARMS),
}


def test_built_in_recipes():
    found = list_recipes()
    assert set(found) == BUILT_IN
    assert all(recipe.name == name and recipe.description for name, recipe in found.items())
    assert find_recipe("quickstart") == found["quickstart"]


def test_cifar10_recipes_differ_only_in_their_callbacks():
    arms = [r for name, r in list_recipes().items() if name.startswith("resnet18_cifar10.")]
    assert len({replace(r, callbacks={}, description="", name="").to_toml() for r in arms}) == 1
    assert len({str(r.callbacks) for r in arms}) == len(arms)
    budget = arms[0]
    assert (budget.model, budget.model_options, budget.epochs, budget.batch_size) == ("resnet18", {}, 8, 256)
    assert (budget.lr, budget.pct_start, budget.momentum, budget.weight_decay) == (0.4, 0.25, 0.9, 5e-4)
    assert (budget.test_images, budget.holdout) == (1000, 0)


def test_recipes_of_another_package_are_imported_when_they_are_asked_for(install):
    source = (
        "from freqfast import Recipe\none = Recipe('first')\ntwo = Recipe('second', epochs=3)\n"
        "_private = Recipe('not to be listed')\nnumber = 3\n"
    )
    install("recipes", source, lab="", single="two")
    find_recipe("quickstart")
    assert "other_recipes" not in sys.modules
    assert set(list_recipes()) == BUILT_IN | {"lab.one", "lab.two", "single"}
    assert find_recipe("single") == Recipe("second", epochs=3, name="single")


@pytest.mark.parametrize(
    ("source", "attribute", "message"),
    [
        ("raise RuntimeError('out of order')", "", "cannot be imported: out of order"),
        ("", "absent", "absent"),
        ("from freqfast import Recipe\nr = Recipe('x', epochs=0)", "r", "epochs must be greater than or equal to 1"),
        ("number = 3", "number", "is a int, not a Recipe or module"),
    ],
)
def test_invalid_entry_point_is_named_and_the_others_are_found(install, source, attribute, message):
    install("recipes", source, bad=attribute)
    with pytest.warns(UserWarning, match=f"entry point 'bad'.*{message}"):
        assert set(list_recipes()) == BUILT_IN
    for name in ("bad", "bad.one"):
        with pytest.raises(ValueError, match=f"entry point 'bad'.*{message}"):
            find_recipe(name)
    assert find_recipe("resnet18_cifar10.best").name == "resnet18_cifar10.best"
    with pytest.raises(ValueError, match="unknown recipe 'nosuch'; the recipes are quickstart, quickstart_baseline"):
        find_recipe("nosuch")


def test_name_that_two_packages_register(install):
    for module in ("their_a", "their_b"):
        install("recipes", "from freqfast import Recipe\nr = Recipe('x')", module, twice="r", **{module: "r"})
    message = "recipe entry point 'twice' is registered by their-a and by their-b; uninstall all but one"
    with pytest.raises(ValueError, match=message):
        find_recipe("twice")
    with pytest.warns(UserWarning, match=message):
        assert set(list_recipes()) == BUILT_IN | {"their_a", "their_b"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("best", "resnet18_cifar10.best"), ("quickstrat", "quickstart"), ("", ""), ("resnet18_cifar10", "")],
)
def test_similar_names_are_proposed(name, meant):
    with pytest.raises(ValueError, match=rf"unknown recipe '{name}'; the recipes are .*{meant and 'mean ' + meant}"):
        find_recipe(name)


def test_recipe_by_its_module(tmp_path, monkeypatch):
    source = "from freqfast import Recipe\nmine = Recipe('stripes', epochs=3)\nother = 3\n"
    (tmp_path / "stripes_recipes.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert load_recipe("stripes_recipes:mine") == Recipe("stripes", epochs=3, name="stripes_recipes:mine")
    assert load_recipe(f"{tmp_path}/stripes_recipes.py:mine").epochs == 3
    assert load_recipe("quickstart") == find_recipe("quickstart")
    with pytest.raises(ValueError, match="stripes_recipes:other is a int, not a Recipe"):
        load_recipe("stripes_recipes:other")
    with pytest.raises(ValueError, match="no_such_module:mine cannot be imported"):
        load_recipe("no_such_module:mine")
    sys.modules.pop("stripes_recipes")
    with pytest.raises(ValueError, match="unknown recipe 'stripes_recipes:mine'"):
        find_recipe("stripes_recipes:mine")  # a name may come from a file, and so imports nothing
    assert "stripes_recipes" not in sys.modules


def test_override_of_a_callback_that_the_recipe_lacks():
    quickstart = find_recipe("quickstart")
    with pytest.raises(ValueError, match=r"unknown key 'gaussian_noise.share'; .*; a study file, or a recipe of your"):
        apply_overrides(quickstart, {"gaussian_noise.share": 0.5})
    with pytest.raises(ValueError, match=r"unknown key 'nosuch.share'; this recipe has .*ARGUMENT$"):
        apply_overrides(quickstart, {"nosuch.share": 0.5})

"""Recipes by their names: those built in, and those that other packages register."""

import sys
from dataclasses import replace

import pytest

from freqfast.runs.recipe import Recipe, apply_overrides
from freqfast.runs.registry import find_recipe, list_recipes, load_recipe

BUILT_IN = {
    "quickstart",
    *(
        f"resnet18_cifar10.{arm}"
        for arm in (
            "antialiasing",
            "antialiasing_equalization_shaping",
            "baseline",
            "best",
            "equalization",
            "equalization_perturbation",
            "equalization_tilt",
            "modulation",
            "modulation_perturbation",
            "perturbation",
            "proportion_balanced",
            "proportion_high",
            "proportion_low",
            "proportion_perturbation",
        )
    ),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a third party's distribution importable, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(module, source, *points, group="freqfast.recipes"):
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(points) + "\n")

    yield make
    for name in [name for name in sys.modules if name.startswith("thirdparty_")]:
        del sys.modules[name]


def test_built_in_recipes():
    found = list_recipes()
    assert set(found) == BUILT_IN
    assert all(recipe.name == name and recipe.description for name, recipe in found.items())
    assert find_recipe("quickstart") == found["quickstart"]


def test_cifar10_recipes_differ_only_in_their_callbacks():
    arms = [r for name, r in list_recipes().items() if name.startswith("resnet18_cifar10.")]
    assert len({replace(r, callbacks={}, description="", name="").to_toml() for r in arms}) == 1
    best = find_recipe("resnet18_cifar10.best")
    assert [r.name for r in arms if r.callbacks == best.callbacks and r != best] == [
        "resnet18_cifar10.antialiasing_equalization_shaping"
    ]
    assert len({str(r.callbacks) for r in arms}) == len(arms) - 1
    budget = arms[0]
    assert (budget.width, budget.epochs, budget.batch_size, budget.lr) == (64, 8, 256, 0.4)
    assert (budget.pct_start, budget.momentum, budget.weight_decay, budget.data) == (0.25, 0.9, 5e-4, "cifar10")


def test_recipe_of_a_third_party(install):
    install(
        "thirdparty_lab",
        "from freqfast import Recipe\none = Recipe('first')\ntwo = Recipe('second', epochs=3)\n"
        "_private = Recipe('not to be listed')\nnumber = 3\n",
        "lab = thirdparty_lab",
        "single = thirdparty_lab:two",
    )
    assert set(list_recipes()) == BUILT_IN | {"lab.one", "lab.two", "single"}
    assert find_recipe("single") == Recipe("second", epochs=3, name="single")


@pytest.mark.parametrize(
    ("source", "point", "message"),
    [
        ("raise ValueError", "bad = thirdparty_bad", "cannot be imported: ValueError"),
        ("raise RuntimeError('out of order')", "bad = thirdparty_bad", "out of order"),
        ("import no_such_package", "bad = thirdparty_bad", "no_such_package"),
        ("def (", "bad = thirdparty_bad", "syntax"),
        ("", "bad = thirdparty_bad:absent", "absent"),
        ("", "bad = thirdparty_absent", "thirdparty_absent"),
        (
            "from freqfast import Recipe\nr = Recipe('x', epochs=0)",
            "bad = thirdparty_bad:r",
            "epochs must be greater than or equal to 1",
        ),
        ("number = 3", "bad = thirdparty_bad:number", "is a int, not a Recipe or module"),
    ],
)
def test_unsound_entry_point_is_named_and_the_others_are_as_they_were(install, source, point, message):
    install("thirdparty_bad", source, point)
    with pytest.warns(UserWarning, match=f"entry point 'bad'.*{message}"):
        assert set(list_recipes()) == BUILT_IN
    for name in ("bad", "bad.one"):
        with pytest.raises(ValueError, match=f"entry point 'bad'.*{message}"):
            find_recipe(name)
    assert find_recipe("resnet18_cifar10.best").name == "resnet18_cifar10.best"
    with pytest.raises(ValueError, match="unknown recipe 'nosuch'; the recipes are quickstart, resnet18"):
        find_recipe("nosuch")


def test_a_recipe_is_found_without_importing_others(install):
    install("thirdparty_other", "from freqfast import Recipe\nr = Recipe('x')", "other = thirdparty_other:r")
    find_recipe("quickstart")
    assert "thirdparty_other" not in sys.modules
    assert find_recipe("other") == Recipe("x", name="other")


def test_a_name_that_two_packages_register_is_refused(install):
    for module in ("thirdparty_a", "thirdparty_b"):
        install(module, "from freqfast import Recipe\nr = Recipe('x')", f"twice = {module}:r", f"{module} = {module}:r")
    message = "recipe entry point 'twice' is registered by thirdparty_a and by thirdparty_b; uninstall all but one"
    with pytest.raises(ValueError, match=message):
        find_recipe("twice")
    with pytest.warns(UserWarning, match=message):
        assert set(list_recipes()) == BUILT_IN | {"thirdparty_a", "thirdparty_b"}


@pytest.mark.parametrize("name", ["", "nosuch", "resnet18_cifar10", "resnet18_cifar10._arm", "quickstart.x"])
def test_unknown_recipe_lists_those_that_exist(name):
    with pytest.raises(ValueError, match=f"unknown recipe '{name}'; the recipes are quickstart, resnet18"):
        find_recipe(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("best", "resnet18_cifar10.best"),
        ("quickstrat", "quickstart"),
        ("resnet18_cifar10.besst", "resnet18_cifar10.best"),
    ],
)
def test_what_may_have_been_meant(name, meant):
    with pytest.raises(ValueError, match=rf"unknown recipe '{name}'; .*; did you mean {meant}"):
        find_recipe(name)


def test_a_recipe_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "stripes_recipes.py").write_text(
        "from freqfast import Recipe\nmine = Recipe('stripes', epochs=3)\nother = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert load_recipe("stripes_recipes:mine") == Recipe("stripes", epochs=3, name="stripes_recipes:mine")
    for name, message in (
        ("stripes_recipes:other", "stripes_recipes:other is a int, not a Recipe"),
        ("stripes_recipes:absent", "stripes_recipes has no absent"),
        ("no_such_module:mine", "no_such_module:mine cannot be imported .ModuleNotFoundError: No module"),
        (":mine", ":mine cannot be imported .ValueError: Empty module name"),
    ):
        with pytest.raises(ValueError, match=message):
            load_recipe(name)
    sys.modules.pop("stripes_recipes")
    with pytest.raises(ValueError, match="unknown recipe 'stripes_recipes:mine'"):
        find_recipe("stripes_recipes:mine")  # whose name may come from a file, and so imports nothing
    assert "stripes_recipes" not in sys.modules
    assert load_recipe("quickstart") == find_recipe("quickstart")


def test_a_callback_that_the_recipe_lacks():
    with pytest.raises(
        ValueError, match=r"unknown key 'gaussian_noise.share'; .*; a study file, or a recipe of your own"
    ):
        apply_overrides(find_recipe("quickstart"), {"gaussian_noise.share": 0.5})
    with pytest.raises(ValueError, match=r"unknown key 'nosuch.share'; this recipe has .*ARGUMENT$"):
        apply_overrides(find_recipe("quickstart"), {"nosuch.share": 0.5})

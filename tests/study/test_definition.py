import pytest

from freqfast.runs.registry import find_recipe
from freqfast.study import load_study

PERTURBED = "resnet18_cifar10.proportion_perturbation"


def test_a_study_file(write):
    study = load_study(
        write(extra=f'[arms.longer]\nrecipe = "{PERTURBED}"\nsettings = {{ epochs = 3 }}\nseeds = [7]\n')
    )
    assert (study.title, study.description) == ("Stripes", "Does an all-low first layer help?")
    assert (study.baseline, study.bar) == ("baseline", False)
    assert load_study(write(("seeds", "bar = true\nseeds"))).bar
    assert [arm.name for arm in study.arms] == ["baseline", "low", "longer"]
    baseline, low, longer = study.arms
    assert (baseline.recipe.width, baseline.recipe.epochs, baseline.recipe.precision) == (8, 1, "float32")
    assert baseline.recipe.callbacks == {}
    assert baseline.recipe.description == find_recipe("resnet18_cifar10.baseline").description
    assert low.recipe.callbacks == {"frequency_proportion": {"proportions": {"low": 1.0}}}
    assert low.recipe.description == "all filters low"
    assert low.recipe.name == "resnet18_cifar10.baseline"
    assert (longer.recipe.epochs, longer.recipe.width, longer.recipe.lr) == (3, 8, 0.05)
    assert longer.recipe.callbacks == find_recipe(PERTURBED).callbacks
    assert (baseline.seeds, longer.seeds) == ((0, 1), (7,))


def test_arguments_of_a_callback_of_the_recipe_are_replaced_one_by_one(write):
    text = f'[arms.mild]\nrecipe = "{PERTURBED}"\ncallbacks.frequency_proportion.purity = 0.7\n'
    callbacks = load_study(write(extra=text)).arms[2].recipe.callbacks
    assert callbacks["frequency_proportion"] == {"proportions": {"low": 1.0}, "purity": 0.7}
    assert callbacks["spectrum_perturbation"] == find_recipe(PERTURBED).callbacks["spectrum_perturbation"]


def test_runs_go_seed_by_seed(write):
    study = load_study(write(extra=f'[arms.other]\nrecipe = "{PERTURBED}"\nseeds = [1]\n'))
    assert [run.name for run in study.runs()] == [
        "baseline/seed-0", "low/seed-0", "baseline/seed-1", "low/seed-1", "other/seed-1",
    ]  # fmt: skip
    assert [run.recipe.seed for run in study.runs()] == [0, 0, 1, 1, 1]
    assert [run.name for run in study.runs(["low"], [1])] == ["low/seed-1"]
    with pytest.raises(ValueError, match="the study has no arm 'lwo'; its arms are baseline, low, other"):
        study.runs(["lwo"])
    with pytest.raises(ValueError, match="no arm of the study has seed 5; the seeds are 0, 1"):
        study.runs((), [5])


ARM = f'[arms.x]\nrecipe = "{PERTURBED}"\n'


@pytest.mark.parametrize(
    ("old", "new", "extra", "message"),
    [
        ("seeds", "bar = 1\nseeds", "", "bar must be of type bool, got 1"),
        ("title", "titel", "", "the study has an unknown key 'titel'; the keys are title, description"),
        ('title = "Stripes"', "", "", "the study lacks the key 'title'"),
        ('title = "Stripes"', "title = 3", "", "title must be of type str, got 3"),
        ("seeds = [0, 1]", "", "", "the study lacks the key 'seeds'"),
        ("[0, 1]", "[]", "", r"seeds must be one or more, all different, got \[\]"),
        ("[0, 1]", "[1, 1]", "", r"all different, got \[1, 1\]"),
        ("[0, 1]", "[-1]", "", r"seeds must be integers in 0"),
        ("[0, 1]", "[true]", "", r"seeds must be integers in 0"),
        ("[0, 1]", "3", "", r"seeds must be of type list\[int\], got 3"),
        ('"baseline"\n\n[set', '"bsaeline"\n\n[set', "", "baseline 'bsaeline' is no arm; the arms are baseline, low"),
        ("width", "wdith", "", "settings has an unknown key 'wdith'; the keys are data, model, width"),
        ("width = 8", "width = 0", "", r"arms\.baseline: width must lie in 8\.\.1024, got 0"),
        ("width = 8", 'width = "4"', "", r"arms\.baseline: width must be of type int, got '4'"),
        ("width = 8", "seed = 4", "", r"settings must not set seed; write seeds = \[\.\.\.\]"),
        ("width = 8", "callbacks = {}", "", r"settings must not set callbacks; write \[arms"),
        ("[settings]", "[[settings]]", "", "settings must be a table, got"),
        ("", "", '[arms.x]\ndescription = "x"', r"arms\.x lacks the key 'recipe'"),
        ("", "", "[arms.low.seeds]", r"arms\.low\.seeds must be of type list\[int\], got {}"),
        ("[arms.baseline]", "[arms]\nx = 3\n[arms.baseline]", "", r"arms\.x must be a table, got 3"),
        ("", "", '[arms.x]\nrecipe = "nosuch"', r"arms\.x: unknown recipe 'nosuch'; the recipes are quickstart"),
        ("", "", "[arms.x]\nrecipe = 1", r"arms\.x: recipe must be of type str, got 1"),
        ("", "", f"{ARM}colour = 1", r"arms\.x has an unknown key 'colour'; the keys are recipe, description"),
        ("", "", f"{ARM}seeds = []", r"arms\.x\.seeds must be one or more"),
        ("", "", f"{ARM}settings = {{ wdith = 1 }}", r"arms\.x\.settings has an unknown key 'wdith'"),
        ("", "", f"{ARM}callbacks = 3", r"arms\.x\.callbacks must be a table, got 3"),
        ("", "", f"{ARM}callbacks.low = 3", r"arms\.x\.callbacks\.low must be a table, got 3"),
        ("", "", ARM + ARM, "Cannot declare"),
        ("", "", f'[arms.LOW]\nrecipe = "{PERTURBED}"', "arms 'low' and 'LOW' differ in case only"),
        ("", "", ARM + f'[arms.y]\nrecipe = "{PERTURBED}"\ndescription = "z"', "arms 'x' and 'y' define the same run"),
        (
            "",
            "",
            f"{ARM}settings = {{ test_images = 3 }}",
            r"arms\.x: test_images is 3, but 2 for the baseline 'baseline', which would compare accuracies on other",
        ),
        ("", "", f"{ARM}settings = {{ holdout = 9 }}", r"arms\.x: holdout is 9, but 0 for the baseline"),
        (
            "",
            "",
            f"{ARM}settings = {{ data = 'photos' }}",
            r"arms\.x: data is 'photos', but 'cifar10' for the baseline",
        ),
        ("", "", "[target]\nclean = 0.1", "target lacks the key 'mean15'"),
        ("", "", "[target]\nclean = nan\nmean15 = inf", "target must be finite, got"),
        ("", "", "[target]\nclean = 0.1\nmean15 = true", r"target\.mean15 must be of type float, got True"),
        ("", "", "]", "stripes.toml: "),
        ("", "", "x = " + "[" * 3000, "stripes.toml: "),
    ],
)
def test_a_wrong_file_is_one_line(write, old, new, extra, message):
    path = write((old, new), extra=extra) if old else write(extra=extra)
    with pytest.raises(ValueError, match=message) as caught:
        load_study(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-x", "a b", "a\\nb", "é", "x" * 65, "|"])
def test_a_name_is_a_folder_below_the_study(write, name):
    with pytest.raises(ValueError, match="has a bad name; use up to 64 letters, digits"):
        load_study(write(extra=f'[arms."{name}"]\nrecipe = "{PERTURBED}"\n'))


def test_no_arms(write, tmp_path):
    path = tmp_path / "none.toml"
    path.write_text('title = "x"\nseeds = [0]\nbaseline = "x"\narms = {}\n')
    with pytest.raises(ValueError, match=r"the study has no arms; add a table \[arms\.NAME\]"):
        load_study(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.toml does not exist; name a study file"):
        load_study(tmp_path / "absent.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"none\.toml: "):
        load_study(path)

import pytest

from freqfast.runs.recipe import Recipe
from freqfast.runs.registry import find_recipe
from freqfast.study import Arm, Study, load_study

PERTURBED = "resnet18_cifar10.proportion_perturbation"
SIZED = 'epochs = 1\ndata = "folder"\nimage_size = 32'
ARM = f'[arms.x]\nrecipe = "{PERTURBED}"\n'


def test_study_file(write):
    study = load_study(write(("seeds", "target = { clean = -1, mean15 = 0.5 }\nseeds"), extra=f"{ARM}seeds = [7]\n"))
    assert (study.title, study.description) == ("Stripes", "Does an all-low first layer help?")
    assert (study.baseline, study.c_bar, study.target) == ("baseline", False, {"clean": -1.0, "mean15": 0.5})
    assert load_study(write(("seeds", "bar = true\nseeds"))).c_bar
    assert [arm.name for arm in study.arms] == ["baseline", "low", "x"]
    baseline, low, other = (arm.recipe for arm in study.arms)
    assert (baseline.model_options, baseline.epochs, baseline.precision) == ({"width": 8}, 1, "float32")
    assert (baseline.callbacks, baseline.description) == ({}, find_recipe("resnet18_cifar10.baseline").description)
    assert low.callbacks == {"frequency_proportion": {"proportions": {"low": 1.0}}}
    assert (low.description, low.name) == ("all filters low", "resnet18_cifar10.baseline")
    assert other.callbacks == find_recipe(PERTURBED).callbacks
    assert [arm.seeds for arm in study.arms] == [(0, 1), (0, 1), (7,)]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ('"model.kernel_size" = 5', {"width": 8, "kernel_size": 5}),
        ("model_options = { kernel_size = 5 }", {"kernel_size": 5}),
    ],
)
def test_settings_of_an_arm_are_over_the_studys(write, settings, options):
    path = write(extra=f"{ARM}settings = {{ epochs = 3, {settings} }}\n")
    baseline, _, arm = (arm.recipe for arm in load_study(path).arms)
    assert (arm.epochs, arm.lr, arm.model_options) == (3, 0.05, options)
    assert baseline.model_options == {"width": 8}


def test_options_of_the_model_are_not_shared_by_arms(write):
    extra = f'{ARM}settings."model.width" = 16\n{ARM.replace("x", "y", 1)}settings.lr = 1\n'
    arms = load_study(write(('"model.width" = 8', "model_options = { width = 8 }"), extra=extra)).arms
    assert [arm.recipe.model_options["width"] for arm in arms] == [8, 8, 16, 8]


def test_arguments_of_a_callback_are_replaced_one_by_one(write):
    for line in ("callbacks.frequency_proportion.purity = 0.7", 'settings."frequency_proportion.purity" = 0.7'):
        callbacks = load_study(write(extra=f"{ARM}{line}\n")).arms[2].recipe.callbacks
        assert callbacks["frequency_proportion"] == {"proportions": {"low": 1.0}, "purity": 0.7}
        assert callbacks["spectrum_perturbation"] == find_recipe(PERTURBED).callbacks["spectrum_perturbation"]


def test_arms_may_differ_in_the_order_of_their_callbacks(write):
    """Noise that is then filtered is another training than filtered images with noise."""
    noise, filters = (f"callbacks.{name} = {{ share = 1.0 }}\n" for name in ("gaussian_noise", "spectrum_perturbation"))
    head = '[arms.x]\nrecipe = "resnet18_cifar10.baseline"\n'
    arms = load_study(write(extra=head + noise + filters + head.replace("x", "y", 1) + filters + noise)).arms
    (run, _), (other, _) = arms[2].runs, arms[3].runs
    assert "was made with another recipe (callbacks {'spectrum_pert" in run.difference(other.recipe)


def test_runs_go_seed_by_seed(write):
    study = load_study(write(extra=f"{ARM}seeds = [1]\n"))
    names = "baseline/seed-0 low/seed-0 baseline/seed-1 low/seed-1 x/seed-1"
    assert [run.name for run in study.runs()] == names.split()
    assert [run.recipe.seed for run in study.runs()] == [0, 0, 1, 1, 1]
    assert [run.name for run in study.runs(["low"], [1])] == ["low/seed-1"]
    with pytest.raises(ValueError, match="the study has no arm 'lwo'; its arms are baseline, low, x"):
        study.runs(["lwo"])
    with pytest.raises(ValueError, match="no arm of the study has seed 5; the seeds are 0, 1"):
        study.runs((), [5])


@pytest.mark.parametrize(
    ("old", "new", "extra", "message"),
    [
        ("baseline = ", "colour = 1\nbaseline = ", "", "unknown key 'colour'; the keys are title, .*, arms$"),
        ("[0, 1]", "[]", "", r"seeds must have at least 1 item, got \[\]"),
        ("recipe =", "recip =", "", r"unknown key 'arms\.baseline\.recip'; the keys are recipe, desc"),
        ("[0, 1]", "[1, 1]", "", r"seeds: must all be different, got \[1, 1\]"),
        ("[0, 1]", "[-1]", "", r"seeds\.0 must be greater than or equal to 0, got -1"),
        ('"baseline"\n\n[set', '"bsaeline"\n\n[set', "", "baseline 'bsaeline' is no arm; the arms are baseline, low"),
        ("batch_size", "bacth_size", "", r"arms\.baseline: unknown key 'bacth_size'; this recipe has batch_size"),
        ("epochs = 1", "seed = 4", "", r"arms\.baseline: settings must not set seed; write seeds = \[\.\.\.\]"),
        ("epochs = 1", "callbacks = {}", "", r"settings must not set callbacks; write \[arms"),
        ("epochs = 1", "momentum = 1979-05-27", "", "JSON cannot"),
        ("", "", '[arms.x]\nrecipe = "nosuch"', r"arms\.x: unknown recipe 'nosuch'; the recipes are quickstart"),
        ("", "", f'[arms.LOW]\nrecipe = "{PERTURBED}"', "arms 'low' and 'LOW' differ in case only"),
        ("", "", ARM + f'[arms.y]\nrecipe = "{PERTURBED}"\ndescription = "z"', "arms 'x' and 'y' define the same run"),
        ("", "", f"{ARM}settings.test_images = 3", r"arms\.x: test_images is 3, but 2 for the baseline 'baseline'"),
        ("", "", f"{ARM}settings.holdout = 3", r"arms\.x: holdout is 3, but 0 for the baseline 'baseline'"),
        ("", "", f'{ARM}settings.data = "photos"', r"arms\.x: data is 'photos', but 'cifar10' for the baseline"),
        ("epochs = 1", SIZED, f"{ARM}settings.image_size = 64", r"arms\.x: image_size is 64, but 32 for the baseline"),
        ("", "", "[target]\nclean = 0.1\nmean15 = inf", r"target\.mean15 must be a finite number, got inf"),
    ],
)
def test_invalid_file_is_one_line(write, old, new, extra, message):
    path = write((old, new), extra=extra) if old else write(extra=extra)
    with pytest.raises(ValueError, match=message) as caught:
        load_study(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["../up", "", "a\\nb", "é", "x" * 65])
def test_arm_name_is_a_folder_name(write, name):
    with pytest.raises(ValueError, match="a name has up to 64 letters, digits"):
        load_study(write(extra=f'[arms."{name}"]\nrecipe = "{PERTURBED}"\n'))


def test_no_arms_and_no_file(tmp_path):
    path = tmp_path / "none.toml"
    path.write_text('title = "x"\nseeds = [0]\nbaseline = "x"\narms = {}\n')
    with pytest.raises(ValueError, match=r"arms .* at least 1 item"):
        load_study(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.toml does not exist; name a study file"):
        load_study(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match=r" is no study file; its name must end in \.toml$"):
        load_study(tmp_path)


def test_recipes_that_differ_in_their_own_seed_define_the_same_run(write, tmp_path, monkeypatch):
    """The study has the seeds, so a recipe's own is not used."""
    lines = (
        "from dataclasses import replace",
        "from freqfast.recipes.robust import robust",
        "one = replace(robust, seed=1)",
    )
    (tmp_path / "recipes_by_seed.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    path = write(extra='[arms.x]\nrecipe = "robust"\n[arms.y]\nrecipe = "recipes_by_seed:one"\n')
    with pytest.raises(ValueError, match="arms 'x' and 'y' define the same run; leave one out"):
        load_study(path, ["recipes_by_seed"])


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("basline", "baseline 'basline' is no arm; the arms are baseline, low"),
        ("baseline", "arms.low: test_images is 8, but 1000 for the baseline 'baseline', which would compare"),
    ],
)
def test_a_study_made_in_python_is_checked_as_a_file_is(baseline, message):
    arms = (Arm("baseline", Recipe("plain"), (0,)), Arm("low", Recipe("low", lr=0.1, test_images=8), (0,)))
    with pytest.raises(ValueError, match=message):
        Study("Low filters", "", baseline, arms)

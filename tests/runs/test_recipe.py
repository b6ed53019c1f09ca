import math
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqfast.runs.recipe import Recipe, apply_overrides, differing_fields

# What TOML can hold, so what an argument of a callback may be.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
positive = st.floats(0, 1e6)
recipes = st.builds(
    Recipe,
    description=texts,
    data=texts,
    model_options=st.dictionaries(texts, values, max_size=2),
    epochs=st.integers(1, 2**31 - 1),
    lr=positive | st.integers(0, 9),
    pct_start=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**31 - 1),
    callbacks=st.dictionaries(texts, st.dictionaries(texts, values, max_size=3), max_size=2),
    name=texts,
)


@given(recipes)
def test_toml_round_trip(recipe):
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()
    assert isinstance(again.lr, float)


def test_width_and_kernel_size_in_files_of_version_0_1_are_options_of_the_model():
    values = {"description": "x", "width": 16, "kernel_size": 3}
    assert Recipe.from_values(values) == Recipe("x", model_options={"width": 16})  # 3 is the default
    with pytest.raises(ValueError, match=r"unknown key 'width'; this recipe has .*, model\.OPTION"):
        apply_overrides(Recipe("x"), {"width": 16})


KNOT: list = []  # it holds itself
KNOT.append(KNOT)


@pytest.mark.parametrize("value", [{"x": None}, [object()], "\ud800", KNOT], ids=lambda value: type(value).__name__)
def test_values_that_toml_cannot_hold(value):
    with pytest.raises(ValueError, match=r"cannot be written as TOML: .*leave such a value out"):
        Recipe("x", callbacks={"a": {"b": value}})


def test_callbacks_are_copied_as_toml_gives_them_back():
    options = {"names": ("low", "high"), "inner": {"mean": (0.5, 0.25)}}
    recipe = Recipe("x", callbacks={"a": options})
    options["inner"]["mean"] = 3
    assert recipe.callbacks == {"a": {"names": ["low", "high"], "inner": {"mean": [0.5, 0.25]}}}


@pytest.mark.parametrize("value", [b"1", [1]], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", [f.name for f in fields(Recipe)])
def test_wrong_type_names_the_field(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be ") as caught:
        Recipe(**({"description": "x"} | {name: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", value) for value in (True, 1.0, "1", 0, 10**30)),
        *(("lr", value) for value in (-1e-9, math.nan, math.inf, 10**400)),
        *(("pct_start", value) for value in (0.0, 1.0)),
        *((name, -1) for name in ("momentum", "weight_decay", "batch_size", "seed", "test_images", "holdout")),
    ],
)
def test_invalid_number(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
        Recipe("x", **{name: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("epochs = " + "9" * 5000, "not valid TOML"),
        ("description = 'x'\nwdith = 3", "unknown key 'wdith'"),
        ("epochs = 3", "description is missing"),
        ("description = 3", "description must be a valid string, got 3"),
        ("description = 'x'\nlr = nan", "lr must be a finite number, got nan"),
        ("description = 'x'\nseed = 2020-01-01", "it holds a value that JSON cannot hold"),
    ],
)
def test_invalid_toml(text, message):
    with pytest.raises(ValueError, match=f"^the recipe.*{message}") as caught:
        Recipe.from_toml(text)
    assert "\n" not in str(caught.value)


def test_differing_fields_leave_out_name_description_and_options_at_their_defaults():
    """A file of version 0.1 says a width of 64, one of today may leave it out."""
    recipe = Recipe("x", name="a")
    assert differing_fields(recipe, Recipe("y", name="b")) == []
    assert differing_fields(recipe, Recipe("x", epochs=3, model_options={"width": 8})) == ["model_options", "epochs"]
    plain, written = Recipe("x"), apply_overrides(Recipe("x"), {"model.width": 64})
    assert differing_fields(written, plain) == []
    others = replace(written, model="timm:resnet18"), replace(plain, model="timm:resnet18")
    assert differing_fields(*others) == ["model_options"]


# Overrides

START = Recipe("x", name="start", callbacks={"proportion": {"purity": 0.9, "proportions": {"low": 1.0}}, "plain": {}})


@pytest.mark.parametrize(
    ("settings", "callbacks"),
    [
        ({"proportion.purity": 0.8}, {"proportion": {"purity": 0.8, "proportions": {"low": 1.0}}}),
        ({"plain.sigma": 2, "callbacks.plain.seed": 3}, {"plain": {"sigma": 2, "seed": 3}}),
        (
            {"proportion.proportions.low": 0.5, "proportion.proportions.high": 0.5},
            {"proportion": {"purity": 0.9, "proportions": {"low": 0.5, "high": 0.5}}},
        ),
        ({"plain.bands.edges.deep": [1]}, {"plain": {"bands": {"edges": {"deep": [1]}}}}),
    ],
)
def test_overrides_of_arguments_of_callbacks(settings, callbacks):
    before = asdict(START)
    changed = apply_overrides(START, settings)
    assert changed.callbacks == START.callbacks | callbacks
    assert changed.name == "start"
    assert asdict(START) == before


def test_overrides_of_fields_and_options_of_the_model():
    changed = apply_overrides(START, {"lr": 1, "model_options": {"depth": 2}, "model.stem.width": 8})
    assert (changed.lr, changed.model_options) == (1.0, {"depth": 2, "stem": {"width": 8}})


def test_another_model_starts_without_the_options_of_the_one_before():
    small = replace(START, model_options={"width": 16})
    assert apply_overrides(small, {"model": "timm:resnet18", "lr": 0.1}).model_options == {}
    assert apply_overrides(small, {"model.depth": 2, "model": "timm:resnet18"}).model_options == {"depth": 2}
    assert apply_overrides(small, {"model": "resnet18"}).model_options == {"width": 16}


@pytest.mark.parametrize(
    "key",
    [
        "wdith", "", ".", "name", "proportion", "plain.", "epochs.x", "callbacks.x.y", "model.",
        "model..x", "proportion..x", "callbacks.model.width", "model_options.width",
    ],
)  # fmt: skip
def test_unknown_key_lists_those_that_exist(key):
    with pytest.raises(ValueError, match="unknown key") as caught:
        apply_overrides(START, {key: 1})
    assert repr(key) in str(caught.value)
    for known in ("epochs", "model.OPTION", "proportion.ARGUMENT", "plain.ARGUMENT"):
        assert known in str(caught.value)


def test_overrides_that_do_not_fit():
    with pytest.raises(ValueError, match=r"'proportion.purity.x' looks inside 'purity', which is 0.9 and no table"):
        apply_overrides(START, {"proportion.purity.x": 1})
    with pytest.raises(ValueError, match="epochs must"):
        apply_overrides(START, {"epochs": 2.0})

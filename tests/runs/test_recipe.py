import math
from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

import freqfast
from freqfast.runs.recipe import Recipe, apply_overrides

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
    width=st.integers(8, 1024),
    epochs=st.integers(1, 2**31 - 1),
    lr=positive | st.integers(0, 9),
    pct_start=st.floats(0, 1, exclude_min=True, exclude_max=True),
    momentum=positive,
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


def test_toml_of_infinities_and_nans_inside_callbacks():
    recipe = Recipe("x", callbacks={"a": {"b": math.inf, "c": math.nan}})
    again = Recipe.from_toml(recipe.to_toml()).callbacks["a"]
    assert again["b"] == math.inf
    assert math.isnan(again["c"])


@pytest.mark.parametrize(
    "value", [None, object(), 1j, {1: 2}, {"x": None}, [None], "\ud800"], ids=lambda value: type(value).__name__
)
def test_what_toml_cannot_hold_is_refused_at_once(value):
    with pytest.raises(ValueError, match=r"cannot be written as TOML: .*leave such a value out"):
        Recipe("x", callbacks={"a": {"b": value}})


def test_a_value_that_holds_itself_is_refused():
    knot: list = []
    knot.append(knot)
    with pytest.raises(ValueError, match="cannot be written as TOML"):
        Recipe("x", callbacks={"a": {"b": knot}})


def test_callbacks_are_kept_as_toml_gives_them_back():
    options = {"names": ("low", "high"), "inner": {"mean": (0.5, 0.25)}}
    recipe = Recipe("x", callbacks={"a": options})
    options["inner"]["mean"] = 3
    assert recipe.callbacks == {"a": {"names": ["low", "high"], "inner": {"mean": [0.5, 0.25]}}}
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Recipe("x").width = 3


@pytest.mark.parametrize("name", [f.name for f in fields(Recipe)])
@pytest.mark.parametrize("value", [None, True, b"1", [1], (), object()], ids=lambda value: type(value).__name__)
def test_wrong_types_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be of type ") as caught:
        Recipe(**({"description": "x"} | {name: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["width", "epochs", "batch_size", "kernel_size", "seed", "test_images"])
@pytest.mark.parametrize("value", [1.0, 0.5, "1", math.nan, math.inf])
def test_only_integers_count(name, value):
    with pytest.raises(ValueError, match=f"{name} must be of type int, got "):
        Recipe("x", **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("lr", "momentum", "weight_decay") for value in (-1e-9, math.nan, math.inf, -1)),
        *(("pct_start", value) for value in (0.0, 1.0, -0.1, 7, math.nan)),
        *((name, value) for name in ("width", "kernel_size", "epochs", "batch_size") for value in (0, -1, 10**30)),
        *((name, value) for name in ("seed", "test_images") for value in (-1, 2**31)),
        ("width", 7),
        ("width", 1025),
    ],
)
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{name} must .*, got ") as caught:
        Recipe("x", **{name: value})
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay", "pct_start"])
def test_integers_too_large_for_a_float(name):
    with pytest.raises(ValueError, match=f"{name} must be of type float, got an integer too large"):
        Recipe("x", **{name: 10**400})


def test_integers_pass_as_floats():
    assert isinstance(Recipe("x", lr=1).lr, float)


@pytest.mark.parametrize("callbacks", [{"a": 1}, {"a": [1]}, {1: {}}, {"a": {1: 2}}, {"a": None}, "a", ["a"]])
def test_callbacks_are_tables_by_name(callbacks):
    with pytest.raises(ValueError, match="callbacks must be of type"):
        Recipe("x", callbacks=callbacks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width = ", "not valid TOML"),
        ("description = 'x'\nwidth = 1\nwidth = 2", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("width = " + "9" * 5000, "not valid TOML"),
        ("description = 'x'\nwdith = 3", "unknown recipe key 'wdith'; the keys are description, data, model, width"),
        ("width = 3", "no description; add the line"),
        ("", "no description"),
        ("description = 3", "description must be of type str, got 3"),
        ("description = 'x'\nwidth = true", "width must be of type int, got True"),
        ("description = 'x'\nlr = nan", "lr must be finite"),
        ("description = 'x'\ncallbacks = 3", "callbacks must be of type"),
        ("description = 'x'\nseed = 2020-01-01", "seed must be of type int"),
    ],
)
def test_unsound_toml(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.from_toml(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_recipe_or_a_value_error(text):
    with suppress(ValueError):
        Recipe.from_toml(text)


# Overrides

START = Recipe("x", name="start", callbacks={"proportion": {"purity": 0.9, "proportions": {"low": 1.0}}, "plain": {}})


def test_overrides_of_fields_and_arguments():
    settings = {"width": 8, "lr": 1, "proportion.purity": 0.8, "plain.sigma": 2, "callbacks.plain.seed": 3}
    changed = apply_overrides(START, settings)
    assert (changed.width, changed.lr, changed.name) == (8, 1.0, "start")
    assert changed.callbacks == {
        "proportion": {"purity": 0.8, "proportions": {"low": 1.0}},
        "plain": {"sigma": 2, "seed": 3},
    }


def test_overrides_inside_tables():
    changed = apply_overrides(START, {"proportion.proportions.low": 0.5, "proportion.proportions.high": 0.5})
    assert changed.callbacks["proportion"]["proportions"] == {"low": 0.5, "high": 0.5}
    changed = apply_overrides(START, {"plain.bands.edges.deep": [1]})
    assert changed.callbacks["plain"] == {"bands": {"edges": {"deep": [1]}}}


def test_the_recipe_itself_does_not_change():
    before = asdict(START)
    apply_overrides(START, {"proportion.proportions.low": 0.5, "proportion.purity": 0.6, "width": 8})
    assert asdict(START) == before


def test_no_overrides_change_nothing():
    assert apply_overrides(START, {}) == START


@pytest.mark.parametrize(
    "key",
    [
        "wdith",
        "",
        ".",
        "name",
        "callbacks",
        "proportion",
        "plain.",
        "width.x",
        "nosuch.purity",
        "callbacks.x.y",
        "callbacks.width",
    ],
)
def test_unknown_keys_list_those_that_exist(key):
    with pytest.raises(ValueError, match="unknown key") as caught:
        apply_overrides(START, {key: 1})
    assert repr(key) in str(caught.value)
    for known in ("width", "epochs", "proportion.ARGUMENT", "plain.ARGUMENT"):
        assert known in str(caught.value)


def test_a_number_is_no_table():
    with pytest.raises(ValueError, match=r"'proportion.purity.x' looks inside 'purity', which is 0.9 and no table"):
        apply_overrides(START, {"proportion.purity.x": 1})


@pytest.mark.parametrize(("key", "value"), [("width", 2.0), ("width", True), ("epochs", 0), ("lr", math.nan)])
def test_overrides_are_checked(key, value):
    with pytest.raises(ValueError, match=f"^{key} must"):
        apply_overrides(START, {key: value})


def test_public_name():
    assert freqfast.Recipe is Recipe

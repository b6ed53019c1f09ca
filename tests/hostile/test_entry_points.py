"""Packages that register recipes, callbacks or corruptions and raise when they are loaded, or are not what they say."""

import pytest

CODE = {
    "raises": "raise RuntimeError('boom\\nsecond line')",
    "raises nothing to read": "raise ValueError",
    "exits": "import sys; sys.exit(0)",
    "runs out of memory": "raise MemoryError",
    "imports what is absent": "import no_such_package_at_all",
    "is no Python": "def (",
    "recurses": "def f(): f()\nf()",
    "is empty": "",
    "is something else": "thing = 7",
    "escapes": "raise OSError('\\x1b[2J\\x07')",
}
USES = {
    "recipes": ["recipes"],
    "callbacks": ["run", "stranger", "--out", "out"],
    "corruptions": ["corrupt", "{tree}", "--corruptions", "stranger", "--out", "out"],
}
ALL = [(kind, group) for kind in ("raises", "is empty", "is something else") for group in USES]
OTHERS = [(kind, ("callbacks", "corruptions")[i % 2]) for i, kind in enumerate(CODE) if (kind, "recipes") not in ALL]
SOUND_RECIPE = "from freqfast import Recipe\nrecipe = Recipe('x', data='photos', callbacks={'stranger': {}})\n"


@pytest.mark.parametrize(("kind", "group"), ALL + OTHERS)
def test_package_that(kind, group, world, attack, install):
    module = f"stranger_{group}_{list(CODE).index(kind)}"
    install(group, CODE[kind], module, stranger="thing")
    if group == "callbacks":
        install("recipes", SOUND_RECIPE, f"{module}_recipe", stranger="recipe")
    words = [str(world.sound / "tree") if word == "{tree}" else word for word in USES[group]]
    result = attack(*words, harmless=group == "recipes")  # the list has the others
    assert "stranger" in result.stderr


@pytest.mark.parametrize(
    "text", ["[freqfast.recipes\nx", "[freqfast.recipes]\nstranger\n", "\x00", "[freqfast.recipes]\nx = :\n"]
)
def test_damaged_entry_points(text, attack, tmp_path, install):
    install("recipes", "", stranger="")
    (tmp_path / "site" / "other_recipes-1.0.dist-info" / "entry_points.txt").write_text(text)
    attack("recipes", harmless=True)  # the standard library passes over some

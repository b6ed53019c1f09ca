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
    "callbacks": ["run", "stranger", "--data", "absent", "--out", "out"],
    "corruptions": ["corrupt", "{tree}", "--corruption", "stranger", "--out", "out"],
}
SOUND_RECIPE = "from freqfast import Recipe\nrecipe = Recipe('x', data='photos', callbacks={'stranger': {}})\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a package on the path as an installation would."""
    place = tmp_path / "site"

    def install(name, code, entries):
        information = place / f"{name}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(entries)
        (place / f"{name}.py").write_text(code)

    monkeypatch.syspath_prepend(place)
    return install


@pytest.mark.parametrize("group", USES)
@pytest.mark.parametrize("kind", CODE)
def test_package_that(kind, group, world, attack, installed, monkeypatch):
    module = f"stranger_{group}_{list(CODE).index(kind)}"
    installed(module, CODE[kind], f"[freqfast.{group}]\nstranger = {module}:thing\n")
    if group == "callbacks":
        installed(f"{module}_recipe", SOUND_RECIPE, f"[freqfast.recipes]\nstranger = {module}_recipe:recipe\n")
        words = [word for word in USES[group] if word not in ("--data", "absent")]
    else:
        words = [str(world.sound / "tree") if word == "{tree}" else word for word in USES[group]]
    result = attack(*words, harmless=group == "recipes")  # the list has the others
    assert "stranger" in result.err


@pytest.mark.parametrize(
    "text", ["[freqfast.recipes\nx", "[freqfast.recipes]\nstranger\n", "\x00", "[freqfast.recipes]\nx = :\n"]
)
def test_damaged_entry_points(text, attack, installed):
    installed("damaged_stranger", "", text)
    attack("recipes", harmless=True)  # the standard library passes over some

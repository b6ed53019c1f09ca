"""Hostile files made by hand, through the commands: every one is refused."""

import pytest

from tests.hostile import handmade


def give(world, attack, name):
    make, words = handmade.CASES[name]
    path = make(world)
    places = {"{}": path, "{model}": world.sound / "model.safetensors", "{tree}": world.sound / "tree"}
    return attack(*(places.get(word, word) for word in words))


SHORT = list(handmade.CASES)[::5]


@pytest.mark.parametrize("name", SHORT)
def test_handmade(name, world, attack):
    give(world, attack, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in handmade.CASES if name not in SHORT])
def test_handmade_more(name, world, attack):
    give(world, attack, name)

"""Names that command a terminal, in every place that the commands print."""

import json
from dataclasses import replace

import pytest

from tests.hostile.sound import make_runs
from tests.support.tiny import TINY

EVIL = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e[red]:smile:"  # C0, OSC, C1, bidi, markup of rich and its emoji
BANDS = {"edges": [0, 0.4, 0.8], "names": [f"{EVIL}1", f"{EVIL}2"]}
STUDY = f"""title = {json.dumps(EVIL)}
seeds = [0]
baseline = "a"
[arms.a]
recipe = "quickstart"
description = {json.dumps(EVIL)}
"""


@pytest.fixture(scope="module")
def evil_tree(sound, tmp_path_factory):
    """Data whose folder and classes have the name."""
    tree = tmp_path_factory.mktemp("evil") / EVIL
    for split in ("train", "test"):
        for i, folder in enumerate(sorted((sound / "tree" / split).iterdir())):
            target = tree / split / f"{EVIL}{i}"
            target.mkdir(parents=True)
            for image in folder.iterdir():
                (target / f"{EVIL}{image.name}").write_bytes(image.read_bytes())
    return tree


@pytest.fixture(scope="module")
def evil_run(evil_tree, tmp_path_factory):
    """A finished run and a stopped one of which everything has the name: folder, recipe, classes, bands."""
    callbacks = {"frequency_proportion": {"proportions": {BANDS["names"][0]: 1}, "bands": BANDS}}
    recipe = replace(TINY, name=EVIL, description=EVIL, callbacks=callbacks)
    folder, cache = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache")
    return make_runs(folder, evil_tree, cache, recipe, EVIL, f"freqfast run {EVIL}")


# Words of each command; {run}, {stopped} and {tree} stand for what has the name, {file} for a text file of a study.
COMMANDS = [
    ("show", "{run}"),
    ("show", "{run}", "--filter", "0"),
    ("show", "{run}", "--json"),
    ("spectra", "{run}", "-o", f"{EVIL}.h5"),
    ("report", "{run}", "{stopped}"),
    ("report", "{run}", "-o", f"{EVIL}.html"),
    ("evaluate", "{run}", "--corruptions", "contrast", "-o", f"{EVIL}.json"),
    ("evaluate", "{run}", "--corruptions", EVIL),
    ("quality", "{run}"),
    ("heatmap", "{run}", "--limit", "2"),
    ("ablation", "{run}", "--limit", "2", "--layer", EVIL),
    ("reliance", "{run}", "--limit", "2", "--data", "photos"),
    ("rerun", "{run}", "-o", f"{EVIL}again"),
    ("run", "--resume", "{stopped}"),
    ("run", EVIL),
    ("run", "quickstart", "--set", f"{EVIL}=1"),
    ("run", "quickstart", "--without", EVIL),
    ("corrupt", "{tree}", "-o", f"{EVIL}c", "--corruptions", "contrast"),
    ("study", "{file}", "--table"),
    ("study", "{file}", "--arm", EVIL),
    (EVIL,),
]


SLOW = {"heatmap", "ablation", "reliance", "rerun", "report", "evaluate", "study", "spectra"}
MARKED = [pytest.param(words, marks=[pytest.mark.slow] if words[0] in SLOW else []) for words in COMMANDS]


@pytest.mark.parametrize("words", MARKED, ids=lambda words: " ".join(words)[:30].encode("ascii", "replace").decode())
def test_no_command_of_a_terminal_is_printed(words, world, attack, evil_run, evil_tree, monkeypatch):
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast",))
    run, stopped = evil_run
    file = world.place / f"{EVIL}.toml"
    file.write_text(STUDY, encoding="utf-8")
    places = {"{run}": run, "{stopped}": stopped, "{tree}": evil_tree, "{file}": file}
    result = attack(*(places.get(word, word) for word in words), harmless=True)
    printed = result.stdout + result.stderr
    assert printed
    assert printed.replace("\n", "").isprintable()

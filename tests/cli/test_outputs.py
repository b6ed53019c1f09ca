"""What every command writes: never over what it reads, a run's own files or, unasked, any file; and its JSON."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import exit_code
from tests.support.finished import write_run
from tests.support.stored import write_arrays
from tests.support.trees import make_tree

# Words of each command that writes a file; OUT stands for its path.
WRITERS = {
    "finetune": ("finetune", "net.toml", "--data", "tree", "-o", "OUT"),
    "spectra": ("spectra", "run", "-o", "OUT"),
    "evaluate": ("evaluate", "run", "--corrupted", "arrays", "--baseline", "old.json", "-o", "OUT"),
    "results": ("evaluate", "old.json", "-o", "OUT"),
    "corrupt": ("corrupt", "tree", "--corruptions", "fog", "--limit", 1, "--severity", 1, "-o", "OUT"),
    "quality": ("quality", "run", "-o", "OUT"),
    "heatmap": ("heatmap", "run", "--data", "tree", "--limit", 1, "-o", "OUT"),
    "report": ("report", "run", "-o", "OUT"),
}


@pytest.fixture
def files(place):
    """A run, a foreign network with its file, a tree of images, corrupted images, and a result."""
    write_run(place / "run", classes=("narrow", "wide"))
    make_tree(place / "tree")
    write_arrays(place / "arrays", ("fog",), 4)
    (place / "net.safetensors").write_text("weights")
    (place / "net.toml").write_text('model = "net.py:net"\nweights = "net.safetensors"\n')
    (place / "net.py").touch()
    write_run(place / "other")
    assert exit_code("evaluate", "other", "--corrupted", "arrays", "-o", "old.json") == 0
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(place / "tree" / "test" / "wide" / "figure.png")
    return place


@pytest.mark.parametrize(
    ("writer", "out", "reason"),
    [
        ("finetune", "net.safetensors", "is what the command reads"),  # by way of the TOML file
        ("finetune", "run/model.safetensors", "is a file of the run run"),
        ("spectra", "there.h5", "there.h5 exists already; replace it by --force, or choose another path"),
        ("evaluate", "old.json", "is what the command reads"),
        ("evaluate", "run/metrics.csv", "is a file of the run run"),
        ("evaluate", "run/report.json", "is a file of the run run"),
        ("evaluate", "there.csv", "exists already"),
        ("evaluate", "arrays/manifest.json", "is in what the command reads"),
        ("results", "old.json", "is what the command reads"),
        ("results", "run/evaluation.json", "is a file of the run run"),
        ("corrupt", "tree/test/wide/figure.png", "is in what the command reads"),
        ("corrupt", "tree/test/new", "tree/test/new lies in tree, which is read"),
        ("corrupt", "there.png", "exists already"),
        ("quality", "run/analysis/quality.json", "is a file of the run run"),
        ("quality", "there.png", "exists already"),
        ("heatmap", "tree/test/wide/figure.png", "is in what the command reads"),
        ("heatmap", "tree/test/wide/new.png", "is in what the command reads"),
        ("report", "run/model.safetensors", "is a file of the run run"),
        ("report", "there.html", "exists already"),
    ],
)
def test_an_output_replaces_nothing_that_is_needed(refused, files, writer, out, reason):
    for name in ("run/metrics.csv", "run/analysis/quality.json", "arrays/manifest.json"):
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_text("{}")
    for suffix in ("h5", "csv", "png", "html"):
        (files / f"there.{suffix}").write_text("mine")
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    words = [out if word == "OUT" else word for word in WRITERS[writer]]
    forced = ["--force"] * (reason.partition(";")[0].endswith("exists already") is False)
    assert reason in refused(*words, *forced)
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("writer", ["spectra", "results", "corrupt", "quality", "report"])
def test_force_replaces_a_file(accepted, files, writer):
    name = {"spectra": "there.h5", "results": "there.json", "report": "there.html"}.get(writer, "there.png")
    (files / name).write_text("mine")
    accepted(*(name if word == "OUT" else word for word in WRITERS[writer]), "--force")
    assert (files / name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    "words",
    [
        ("recipes",),
        ("models",),
        ("run", "quickstart", "--set", "model.width=4", "--set", "epochs=1", "--set", "test_images=1", "-o", "new"),
        ("evaluate", "old.json"),
        ("corrupt", "tree", "--corruptions", "fog", "--limit", 1, "-o", "stored"),
        ("spectra", "run", "-o", "run.h5"),
        ("show", "run"),
        ("quality", "run"),
        ("report", "run"),
    ],
)
def test_json_stands_alone_on_stdout(accepted, files, two_corruptions, words):
    assert json.loads(accepted(*words, "--json").out)

"""H5Web's own viewer in headless Chromium: what a visitor sees first. Set up by setup.sh; pictures land in output/."""

import json
import os
import subprocess
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from freqfast.spectra import measure_layers
from freqfast.spectra.h5 import write_spectra
from tests.support.finished import history_of

HERE = Path(__file__).parent
PLOT = (570, 190, 1070, 690)  # inside the axes, in pixels of the picture

pytestmark = [pytest.mark.h5web, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder and address of a site with the viewer."""
    if not (HERE / "build" / "page.js").exists():
        pytest.skip("tests/h5web/setup.sh has not been run")
    folder = tmp_path_factory.mktemp("site")
    for path in (HERE / "build").iterdir():
        (folder / path.name).symlink_to(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def layers(site):
    """Spectra of two layers, the first with three records, in the site's spectra.h5."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 5), nn.Conv2d(6, 4, 3))
    first, second = measure_layers(model)
    first = replace(first, history=history_of([torch.randn(6, 3, 5, 5) for _ in range(3)]))
    write_spectra(site[0] / "spectra.h5", [first, second])
    return first, second


def visit(site, name, *clicks):
    """What a visitor reads, and the picture, after clicking on these names in the file's tree."""
    (HERE / "output").mkdir(exist_ok=True)
    picture = HERE / "output" / f"{name}.png"
    address = f"{site[1]}/index.html?file=spectra.h5"
    command = ["node", "visit.mjs", address, str(picture), *clicks]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=240, env=os.environ)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["errors"] == []
    with Image.open(picture) as image:
        return seen, np.asarray(image.convert("RGB").crop(PLOT))


def as_shown(value):
    """A number as H5Web writes it at the ends of the colour bar."""
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa}e{int(exponent):+d}"


def test_opens_with_the_power_spectrum(site, layers):
    seen, plot = visit(site, "default")
    assert "NX Heatmap" in seen["text"]
    assert "power per frequency" in seen["text"]
    assert {"fx (cycles/pixel)", "fy (cycles/pixel)"} <= set(seen["labels"])
    assert as_shown(layers[0].power[0].max()) in seen["text"]
    assert len(np.unique(plot.reshape(-1, 3), axis=0)) > 100
    # Yellow, the top of the colour map, lies where the power is greatest: rows run up the fy axis.
    rows, columns = np.nonzero((plot[..., 0] > 220) & (plot[..., 2] < 90))
    n, size = 32, len(plot)
    bright = {(n - 1 - int(r * n / size), int(c * n / size)) for r, c in zip(rows, columns, strict=True)}
    peak = np.unravel_index(layers[0].power[0].argmax(), (n, n))
    assert min(np.hypot(r - peak[0], c - peak[1]) for r, c in bright) < 2


@pytest.mark.parametrize("clicks", [("entry", "training"), ("entry", "layers", "1")])
def test_training_opens_at_its_last_epoch_and_every_layer_opens(site, layers, clicks):
    seen, _ = visit(site, clicks[1], *clicks)
    power = layers[0].history.power[2, 0] if clicks[1] == "training" else layers[1].power[0]
    assert as_shown(power.max()) in seen["text"]
    assert "fx (cycles/pixel)" in seen["labels"]

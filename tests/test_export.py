"""Networks with our parts under `torch.export`, and exported to ONNX and run by onnxruntime."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim

from freqfast.models.build import ModelSpec
from freqfast.models.file import write_model
from freqfast.models.network import Network
from freqfast.preprocessing import Preprocessing
from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import apply_modulation
from tests.support.exported import export, small_model, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of torch's exporter
    pytest.mark.skipif(torch.__version__ < (2, 9), reason="older exporters lack a real FFT and sizes left open"),
]
ROOT = Path(__file__).parents[1]
ANY_SIZE = [partial(apply_antialiasing, layers=["3", "5"]), partial(apply_equalization, bins=1), apply_modulation]
ONE_SIZE = [partial(apply_antialiasing, kind="flc"), apply_equalization]


def changed(*changes):
    model = small_model()
    for change in changes:
        change(model)
    model(torch.randn(4, 3, 8, 8))  # a batch for the equalizer's reference
    return model.eval()


@pytest.mark.parametrize("change", ONE_SIZE)
def test_parts_with_constants_of_one_image_size_are_exported_for_batches_of_any_size(change):
    exported = torch.export.export(changed(change), (torch.randn(2, 3, 20, 18),), dynamic_shapes=({0: Dim("batch")},))
    images = torch.randn(5, 3, 20, 18)
    torch.testing.assert_close(exported.module()(images), changed(change)(images))


@pytest.mark.parametrize("change", ANY_SIZE)
def test_the_others_are_exported_for_batches_and_images_of_any_size(change):
    shape = {0: Dim("batch"), 2: Dim("height", min=8), 3: Dim("width", min=8)}
    exported = torch.export.export(changed(change), (torch.randn(2, 3, 16, 16),), dynamic_shapes=(shape,))
    images = torch.randn(5, 3, 11, 30)
    torch.testing.assert_close(exported.module()(images), changed(change)(images))


@pytest.mark.parametrize("change", ONE_SIZE)
@pytest.mark.parametrize("axis", [2, 3])
def test_parts_with_constants_of_one_image_size_refuse_an_open_one(change, axis):
    with pytest.raises(ValueError, match=r"height and width must be fixed, since freqfast\.spectral\.") as caught:
        torch.export.export(changed(change), (torch.randn(2, 3, 16, 16),), dynamic_shapes=({axis: Dim("side")},))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strict", [False, True])
def test_an_export_leaves_no_traced_constants(strict):
    size = 18 + 2 * strict  # which no other test has, so that its constants are not there yet
    model, images = changed(ONE_SIZE[0], apply_equalization, apply_modulation).double(), torch.randn(2, 3, size, size)
    exported = torch.export.export(model, (images.double(),), strict=strict).module()
    found = model(images.double())
    assert type(found) is torch.Tensor
    torch.testing.assert_close(exported(images.double()), found)


@pytest.mark.parametrize("change", [*ANY_SIZE, *ONE_SIZE])
def test_a_first_trace_has_no_operators_that_make_constants(change):
    model, images = changed(change), torch.randn(2, 3, 22, 14)

    def operators():
        return {str(node.target) for node in torch.export.export(model, (images,)).graph.nodes}

    first = operators()
    model(images)
    copies = {"aten.lift_fresh_copy.default", "aten._assert_tensor_metadata.default", "aten.to.device"}
    assert first - operators() <= copies


@pytest.mark.parametrize("change", [*ANY_SIZE, *ONE_SIZE])
def test_traced_by_torchscript(change):
    """As TensorBoardCallback does: before any other call, and for batches of any size."""
    model, images = changed(change).double(), torch.randn(5, 3, 12, 26).double()  # whose constants are not there yet
    traced = torch.jit.trace(model, images[:2])
    torch.testing.assert_close(traced(images), model(images))


# ONNX


CASES = {
    "live": {"modulation": {}, "equalization": {}, "antialiasing": {"layers": ["3", "5"]}, "open": ["batch"]},
    "baked": {"modulation": {}, "bake": True, "equalization": {"bins": 3}, "open": ["batch"]},
    "flc": {"modulation": {"per_filter": False}, "antialiasing": {"kind": "flc"}, "open": ["batch"]},
    "any-size": {
        "modulation": {}, "equalization": {"bins": 1}, "antialiasing": {}, "open": ["batch", "height", "width"]
    },
}  # fmt: skip
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in CASES if name != "live"]


@pytest.mark.parametrize("case", ["live", *SLOW])
def test_onnxruntime_gives_the_outputs_of_torch(case, tmp_path):
    size = (26, 22 + 2 * list(CASES).index(case))  # which nothing else has, so that its constants are not there yet
    images, expected = export(tmp_path / "network.onnx", CASES[case], size)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (outputs,) = session.run(None, {"images": images.numpy()})
    assert_close(outputs, expected.numpy())


def assert_close(outputs, expected):
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_the_page_exports_a_run(tmp_path):
    spec, mean, std = ModelSpec("resnet18", {"classes": 8, "width": 8}), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    model = trained(spec.build(), CASES["live"] | {"antialiasing": {}})
    folder = tmp_path / "runs" / "best"
    folder.mkdir(parents=True)
    write_model(folder / "model.safetensors", Network("best", model, Preprocessing(mean, std), tuple("abcdefgh"), spec))
    page = (ROOT / "docs" / "how-to" / "onnx.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
    code += "\nnp.savez('found.npz', images=images, logits=logits)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    found = np.load(tmp_path / "found.npz")
    normalised = (found["images"] - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    with torch.no_grad():
        assert_close(found["logits"], model(torch.from_numpy(normalised)).numpy())

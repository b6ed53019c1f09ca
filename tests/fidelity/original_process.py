"""The original generators as a process to ask for corrupted images."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")


class Originals:
    """The generators, run from checkouts by another interpreter, see `tests.fidelity.originals`."""

    def __init__(self, python, robustness, c_bar):
        self.frost_dir = Path(robustness) / "ImageNet-C" / "create_c"
        self._folder = tempfile.TemporaryDirectory()
        command = [python, Path(__file__).with_name("originals.py"), robustness, c_bar]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def corrupt(self, images, name, severity, seed=0):
        """Square uint8 images of 32, 64 or 224 pixels, corrupted, and the processor's seconds that it took."""
        given, made = (Path(self._folder.name) / file for file in ("in.npy", "out.npy"))
        np.save(given, images)
        ask = {"name": name, "severity": severity, "size": images.shape[1], "seed": seed}
        self._process.stdin.write(json.dumps(ask | {"images": str(given), "out": str(made)}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the original {name} failed; what it said is above")
        return np.load(made), json.loads(answer)["seconds"]


def add_arguments(parser, required=True):
    nargs = None if required else "?"
    parser.add_argument("robustness", nargs=nargs, help="a checkout of github.com/hendrycks/robustness")
    parser.add_argument("c_bar", nargs=nargs, help="a checkout of github.com/facebookresearch/augmentation-corruption")
    parser.add_argument("--python", default="python", help="the interpreter that has their packages")


def photographs(size):
    """Photographs as the data sets are made: ImageNet's are cut to 224 after a resize to 256, others are squeezed."""
    images = []
    for name in PHOTOGRAPHS:
        picture = Image.fromarray(np.asarray(getattr(skimage.data, name)()))
        if size == 224:
            scale = 256 / min(picture.size)
            picture = picture.resize(tuple(round(side * scale) for side in picture.size), Image.Resampling.BILINEAR)
            left, top = ((side - size) // 2 for side in picture.size)
            picture = picture.crop((left, top, left + size, top + size))
        images.append(np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(images)

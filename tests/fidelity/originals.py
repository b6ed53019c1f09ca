"""Runs the original generators, unchanged, from checkouts: ``python originals.py ROBUSTNESS C_BAR``.

This runs in an environment of its own, see tests/fidelity/compare.py. A line of JSON on standard input asks
for one corruption: ``{"name", "level", "size", "seed", "images", "out"}``, the last two .npy files. The line that
answers has the seconds that it took. What newer packages no longer take is patched here, from outside.
"""

import csv
import json
import os
import sys
import time
import types
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy.ndimage
import skimage.filters
from PIL import Image

SCRIPTS = {32: "make_cifar_c.py", 64: "make_tinyimagenet_c.py", 224: "make_imagenet_c.py"}
BAR = {32: "cifar10_c_bar.csv", 224: "imagenet_c_bar.csv"}
END = "# /////////////// End Distortions"


def load_script(folder, size):
    """The functions of a generator's script, without the part that reads a data set and writes the corrupted one."""
    source = (folder / SCRIPTS[size]).read_text().split(END)[0]
    names = {}
    exec(compile(source, SCRIPTS[size], "exec"), names)
    names["gaussian"] = lambda *args, multichannel=False, **options: skimage.filters.gaussian(
        *args, channel_axis=-1 if multichannel else None, **options
    )
    return names


def stand_in(name, **members):
    """A module that the scripts import and their corruptions do not need."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    return module


def load_bar(folder):
    sys.path.insert(0, str(folder))
    for name, alias in (("int", int), ("uint", np.uint64), ("float", float)):
        setattr(np, name, alias)
    stand_in("utils.converters")
    import transform_finder

    levels = {}
    for size, file in BAR.items():
        with (folder / file).open() as rows:
            levels[size] = {name: list(map(float, row)) for name, *row in csv.reader(rows)}
    return transform_finder.transform_dict, levels


def main():
    warnings.simplefilter("ignore")
    robustness, bar = (Path(argument).resolve() for argument in sys.argv[1:3])
    folder = robustness / "ImageNet-C" / "create_c"
    os.chdir(folder)  # the frost photographs are opened by relative paths
    torch, vision = stand_in("torch", utils=None), stand_in("torchvision")
    torch.utils = stand_in("torch.utils", data=stand_in("torch.utils.data", Dataset=object))
    vision.datasets, vision.transforms = stand_in("torchvision.datasets"), stand_in("torchvision.transforms")
    stand_in("scipy.ndimage.interpolation", map_coordinates=scipy.ndimage.map_coordinates)
    scripts = {size: load_script(folder, size) for size in SCRIPTS}
    transforms, levels = load_bar(bar / "imagenet_c_bar")

    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        ask = json.loads(line)
        name, size, severity = ask["name"], ask["size"], ask["severity"]
        np.random.seed(ask["seed"])  # noqa: NPY002 (what they draw from)
        images = np.load(ask["images"])
        if name in transforms:
            level = levels[size][name][severity - 1]
            function = transforms[name](severity=level, im_size=size)
        else:
            function = partial(scripts[size][name], severity=severity)
        results, seconds = [], 0.0
        for image in images:
            given = np.asarray(image) if name in transforms else Image.fromarray(image)
            start = time.process_time()
            results.append(np.uint8(function(given)))
            seconds += time.process_time() - start
        np.save(ask["out"], np.stack(results))
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()

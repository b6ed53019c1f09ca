"""Hostile results, studies and HDF5 files."""

import pickle

import h5py
import numpy as np

from tests.hostile.handmade import MERGE, SHOW, STUDY, Payload, case, write

# Results, studies


for name, text in {
    "empty": "",
    "a list": "[]",
    "nested": "[" * 200_000,
    "no text": b"\xff\xfe",
    "other schema": '{"schema": "x"}',
    "number of 5000 digits": "9" * 5000,
    "pickle": b"\x80\x04cos\nsystem\n.",
    "NaN": "NaN",
    "vast cell": '{"schema": "freqfast-evaluation-1", "clean": null, "provenance": null, "outcomes": {"fog": {"1": '
    '{"images": 1000000000000000, "correct": "", "bins": [], "images_crc32": 0}}}}',
    "escape sequence": '{"schema": "freqfast-evaluation-1", "clean": null, "provenance": null, "outcomes": '
    '{"\\u001b[2J": {"1": {"images": 1, "correct": "gA==", "bins": [], "images_crc32": 0}}}}',
}.items():
    case(f"result {name}", MERGE)(lambda world, text=text: write(world, "r.json", text))

ARM = '[arms.a]\nrecipe = "resnet18_cifar10.baseline"\n'
HEAD = 'title = "x"\nseeds = [0]\nbaseline = "a"\n'
for name, text in {
    "empty": "",
    "no TOML": "= = =",
    "no text": b"\xff\xfe\x00",
    "null byte": "a = \x00",
    "nested": "a = " + "[" * 100_000,
    "nested tables": HEAD + "[" + "a." * 5000 + "a]",
    "arm out of the folder": HEAD.replace('"a"', '"../x"') + ARM.replace("arms.a", 'arms."../x"'),
    "seeds NaN": HEAD.replace("[0]", "[nan]") + ARM,
    "seeds huge": HEAD.replace("[0]", "[" + "9" * 40 + "]") + ARM,
    "seeds of 5000 digits": HEAD.replace("[0]", "[" + "9" * 5000 + "]") + ARM,
    "seeds true": HEAD.replace("[0]", "[true]") + ARM,
    "seed negative": HEAD.replace("[0]", "[-1]") + ARM,
    "recipe a path": HEAD + '[arms.a]\nrecipe = "../../etc/passwd"\n',
    "recipe a number": HEAD + "[arms.a]\nrecipe = 7\n",
    "width infinite": HEAD + ARM + "settings = { width = inf }\n",
    "lr NaN": HEAD + ARM + "settings = { lr = nan }\n",
    "epochs huge": HEAD + ARM + f"settings = {{ epochs = {10**12} }}\n",
    "escape sequence": HEAD + '[arms.a]\nrecipe = "\\u001b[2J"\n',
    "target infinite": HEAD + "target = 3\n" + ARM,
    "title a table": HEAD.replace('"x"', "{}") + ARM,
}.items():
    case(f"study {name}", STUDY)(lambda world, text=text: write(world, "s.toml", text))


# HDF5


def h5_case(name, edit, words=SHOW):
    @case(f"HDF5 {name}", words)
    def _(world):
        path = world.copy("spectra.h5")
        with h5py.File(path, "a") as file:
            edit(file, world)
        return path


def replaced(name, **options):
    def edit(file, world):
        del file[name]
        file.create_dataset(name, **options)

    return edit


def relinked(name, link):
    def edit(file, world):
        file.move(name, "entry/elsewhere")
        file[name] = link

    return edit


def cycle(file, world):
    del file["entry/spectra"]
    file["entry/spectra"] = file["entry"]


def cycle_of_layers(file, world):
    file["entry/layers/round"] = file["entry/layers"]


def virtual(file, world):
    layout = h5py.VirtualLayout((8,), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (8,))
    del file["entry/spectra/fy"]
    file.create_virtual_dataset("entry/spectra/fy", layout)


def many_names(file, world):
    del file["entry/layers/layer1.0.conv1"]
    layers, first = file["entry/layers"], file["entry/spectra"]
    del first["power"]
    first.create_dataset("power", data=np.zeros((300, 200, 200), np.float32), chunks=(50, 200, 200), compression="gzip")
    for i in range(50):
        group = layers.create_group(f"x{i}")
        group.attrs["layer"] = f"x{i}"
        for name in first:
            group[name] = first[name]


h5_case("external link", relinked("entry/spectra", h5py.ExternalLink("/etc/passwd", "/")))
h5_case("external link for a dataset", relinked("entry/spectra/power", h5py.ExternalLink("other.h5", "/power")))
h5_case("soft link", relinked("entry/spectra", h5py.SoftLink("/entry/elsewhere")))
h5_case("soft link to itself", relinked("entry/spectra", h5py.SoftLink("/entry/spectra")))
h5_case("cycle of groups", cycle)
h5_case("cycle of layers", cycle_of_layers)
h5_case("virtual dataset", virtual)
h5_case(
    "storage in another file", replaced("entry/spectra/fy", shape=(8,), dtype="f8", external=[("/etc/passwd", 0, 64)])
)
h5_case("huge shape", replaced("entry/spectra/power", shape=(10**6, 10**4, 10**4), dtype="f4", chunks=(1, 8, 8)))
h5_case("huge shape of text", replaced("entry/spectra/band", shape=(10**9,), dtype=h5py.string_dtype(), chunks=(1000,)))
h5_case("vast chunk", replaced("entry/spectra/fy", shape=(8,), maxshape=(None,), dtype="f8", chunks=(2**28 + 1,)))
h5_case("many names for one array", many_names)
h5_case("escape sequence for a name", lambda f, world: f["entry/spectra"].attrs.__setitem__("layer", "\x1b[2J"))
h5_case("NaN", lambda f, world: f["entry/spectra/power"].write_direct(np.full_like(f["entry/spectra/power"], np.nan)))
h5_case("object references", replaced("entry/spectra/shares", data=np.array([None] * 2, h5py.ref_dtype)))
h5_case("compound", replaced("entry/spectra/power", data=np.zeros((2, 8, 8), [("a", "f4")])))
case("HDF5 pickle", SHOW)(lambda world: write(world, "x.h5", pickle.dumps(Payload(world.canary))))
case("HDF5 signature alone", SHOW)(lambda world: write(world, "x.h5", b"\x89HDF\r\n\x1a\n"))


@case("HDF5 cut", SHOW)
def _(world):
    return write(world, "x.h5", (world.sound / "spectra.h5").read_bytes()[:3000])

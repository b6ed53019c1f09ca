"""The architecture's import directions, read from the source, and what `import freqfast` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import freqfast

ROOT = Path(__file__).parents[1]

# The floors of the package, from the ground up: a part imports from floors below its own, and nothing from its own.
FLOORS = (
    {"progress", "files", "plugins"},
    {"records", "preprocessing"},
    {"spectral", "compute"},
    {"methods", "models", "data", "corruptions", "spectra"},
    {"robustness", "callbacks", "integrations"},
    {"runs", "analysis"},
    {"training"},
    {"study"},
    {"report"},
    {"recipes", "cli"},
    {"__main__"},
)
# Where a third-party package may appear.
HOMES = {
    "fastai": {"callbacks", "data", "training"},
    "fastcore": {"callbacks", "models", "training"},
    "fastprogress": {"progress", "training"},
    "lightning": {"integrations"},
    "transformers": {"integrations"},
    "h5py": {"analysis", "spectra"},
    "h5netcdf": set(),
    "xarray": set(),
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"report"},
    "matplotlib": {"analysis", "report", "cli"},
    "submitit": {"study"},
    "timm": {"models"},
}


def modules():
    """Every module of the distribution: its dotted name and its file."""
    folders = {"freqfast": ROOT / "freqfast", "freqfast.cli": ROOT / "cli", "freqfast.recipes": ROOT / "recipes"}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((package, *(part for part in parts if part != "__init__"))), path


def imports_of(name, path):
    """Absolute dotted names that a module imports, anywhere in it; of the package also what is imported from it."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(filter(None, (*above, node.module)))
            if base in ("freqfast", "freqfast.cli", "freqfast.recipes"):
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


MODULES = dict(modules())
IMPORTS = {name: set(imports_of(name, path)) for name, path in MODULES.items()}
STUB = ast.parse((ROOT / "freqfast" / "__init__.pyi").read_text(encoding="utf-8"))
IMPORTED = [node for node in STUB.body if isinstance(node, ast.ImportFrom)]
HOME_OF = {alias.name: node.module or alias.name for node in IMPORTED for alias in node.names}  # module of each name
PACKAGES = {name for name, home in HOME_OF.items() if name == home}
PUBLIC_NAMES = {*HOME_OF, "__version__"} - PACKAGES


def part_of(name):
    """The part of the package that a module belongs to: ``freqfast.data.cifar10`` is of ``data``."""
    return [*name.split("."), ""][1]


def modules_of(part):
    return [name for name in MODULES if part_of(name) == part]


def internal(name):
    """Parts of the package that a module imports. A public name counts as the part that it lives in."""
    parts = {part_of(found) for found in IMPORTS[name] if found == "freqfast" or found.startswith("freqfast.")}
    parts.discard("__version__")
    return {HOME_OF.get(part, part).partition(".")[0] for part in parts}


def test_the_scan_sees_the_whole_package():
    assert {"freqfast", "freqfast.spectral.bands", "freqfast.recipes.quickstart"} <= set(MODULES)
    assert "torch" in IMPORTS["freqfast.spectral.spectrum"]
    assert internal("freqfast.spectral.proportion") == {"spectral"}
    assert {part_of(name) for name in MODULES} - {""} == set().union(*FLOORS)


def test_the_method_is_pure_torch():
    spectral = {"freqfast", "torch", "numpy", "scipy", *sys.stdlib_module_names}
    for part, allowed in (("spectral", spectral), ("methods", spectral | {"pydantic", "torchvision"})):
        for name in modules_of(part):
            assert {found.partition(".")[0] for found in IMPORTS[name]} <= allowed, name


def test_third_party_packages_stay_at_home():
    strays = [
        f"{name} imports {found}"
        for name in MODULES
        for found in IMPORTS[name]
        if part_of(name) not in HOMES.get(found.partition(".")[0], {part_of(name)})
    ]
    assert strays == []


def test_a_part_imports_only_from_below():
    for i, parts in enumerate(FLOORS):
        below = set().union(*FLOORS[:i])
        for name in (name for part in parts for name in modules_of(part)):
            assert internal(name) - {part_of(name), ""} <= below, name


def test_the_house_is_small():
    """At most 22 parts and 96 imports between them: whoever adds one looks for a home for it first."""
    arrows = {(part_of(name), part) for name in MODULES for part in internal(name)}
    arrows = {(a, b) for a, b in arrows if a != b and a and b and a != "__main__"}
    assert len({part_of(name) for name in MODULES} - {"", "__main__"}) <= 22
    assert len(arrows) <= 96


def test_recipes_import_public_names_only_and_read_like_a_page():
    public = {f"freqfast.{public_name}" for public_name in PUBLIC_NAMES} | {"freqfast", "freqfast.runs.recipe"}
    for name in modules_of("recipes"):
        assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) < 65
        for found in IMPORTS[name]:
            is_recipe = found.startswith("freqfast.recipes.")
            assert found in public or is_recipe or found.partition(".")[0] in sys.stdlib_module_names, (name, found)


# The public face


def run_python(code, folder):
    """Standard output of a fresh interpreter, away from the checkout."""
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_importing_freqfast_is_light(tmp_path):
    code = (
        "import sys, time; start = time.process_time(); import freqfast; took = time.process_time() - start\n"
        "heavy = {'torch', 'numpy', 'fastai', 'h5py', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "dir(freqfast); freqfast.__version__\n"
        "print(took, *sorted(heavy | {'torch', 'fastai'} & set(sys.modules)))"
    )
    seconds, *loaded = min((run_python(code, tmp_path).split() for _ in range(2)), key=lambda words: float(words[0]))
    assert loaded == []
    assert float(seconds) < 0.5


def test_packages_load_without_an_import_and_the_core_needs_none_of_the_slow_libraries(tmp_path):
    code = (
        "import sys, freqfast\n"
        "freqfast.spectral.bands.Bands, freqfast.compute.memory.keep_freed_memory\n"
        f"import {', '.join(modules_of('spectral') + modules_of('methods'))}\n"
        "from freqfast import Bands, SpectralConv2d, project_filters\n"
        f"print(*sorted({set(HOMES)!r} & set(sys.modules)))\n"
        "from freqfast.models.sources import load_network\n"
        "load_network('zoo:baseline-w16')\n"
        "print(*sorted({'fastai', 'torch._dynamo', 'torchvision'} & set(sys.modules)))"
    )
    assert run_python(code, tmp_path) == ""


@pytest.mark.parametrize(
    ("part", "heavy"),
    [
        ("data", "torch fastai sklearn skimage"),
        ("corruptions", "typer rich fastai h5py skimage torchvision scipy.stats matplotlib cv2"),
    ],
)
def test_parts_that_are_light(part, heavy, tmp_path):
    code = f"import sys, freqfast.{part}; print(*sorted({set(heavy.split())!r} & set(sys.modules)))"
    assert run_python(code, tmp_path) == ""


def test_public_names_are_listed():
    assert PACKAGES == {path.parent.name for path in (ROOT / "freqfast").glob("*/__init__.py")}
    assert set(freqfast.__all__) == PUBLIC_NAMES | PACKAGES
    assert HOME_OF.keys() <= set(dir(freqfast))
    assert dir(freqfast) == sorted(dir(freqfast))


def test_type_checkers_see_the_public_names():
    """Type checkers take a name of a stub as public only if it is imported as itself."""
    for stub in (ROOT / "freqfast").rglob("*.pyi"):
        imports = [node for node in ast.parse(stub.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
        assert imports
        assert all(alias.asname == alias.name for node in imports for alias in node.names)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="No freqfast attribute Spectrogram"):
        freqfast.Spectrogram
    assert not hasattr(freqfast, "torch")

"""The program as a whole, in a process of its own."""

import os
import subprocess
import sys

import pytest
from freqfast.cli.output import console

import freqfast
from freqfast.compute.precision import PRECISIONS
from freqfast.corruptions import SETS


def program(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "freqfast", *words], capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_version():
    result = program("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"freqfast {freqfast.__version__}\n", "")


def test_help_names_the_commands():
    result = program("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("recipes", "run", "evaluate", "spectra", "--version"))


def test_help_takes_less_than_a_second_of_work():
    # In processor time, which other processes on the machine do not lengthen as they do the clock's.
    resource = pytest.importorskip("resource")
    seconds = []
    for _ in range(2):  # the first may have to compile
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        program("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 1


def test_help_and_recipes_import_no_torch():
    code = (
        "import sys, contextlib; from freqfast.cli.main import main; sys.argv = ['freqfast', sys.argv[1]]\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print('heavy:', sorted({'torch', 'fastai', 'scipy', 'h5py', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    for word in ("--help", "recipes"):
        result = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True)
        assert result.stdout.splitlines()[-1] == "heavy: []"


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    result = program("run", "nosuch", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("freqfast: unknown recipe 'nosuch'; the recipes are quickstart, ")
    assert result.stderr.count("\n") == 1


def test_a_closed_pipe_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "freqfast", "recipes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in error


def test_warnings_are_one_line_each(tree, tmp_path):
    """Here of a cache that is no folder."""
    (tmp_path / "file").touch()
    words = ("corrupt", str(tree), "--out", "c", "--corruption", "contrast", "--limit", "1")
    result = program(*words, cwd=tmp_path, env=os.environ | {"FREQFAST_CACHE": str(tmp_path / "file")})
    assert result.returncode == 0
    assert result.stderr.startswith("freqfast: warning: decoded data not cached (")
    assert result.stderr.count("\n") == 1


# Wrong usage, in this process


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nosuch"], "nosuch"),
        (["--nosuch"], "--nosuch"),
        (["run"], "recipe"),
        (["run", "quickstart", "--epochs", "two"], "--epochs"),
        (["run", "quickstart", "--epochs"], "--epochs"),
        (["run", "quickstart", "extra"], "extra"),
        (["evaluate", "x"], "x does not exist; name a run directory"),  # the model is looked for before the images
        (["evaluate", "x", "--cifar10c", "y", "--limit", "1.5"], "--limit"),
        (["spectra", "x"], "--output"),
        (["spectra", "x", "-o", "y", "--points", "1000000000"], "--points"),
        (["spectra", "x", "-o", "y", "--bands", "0"], "--bands"),
        (["spectra", "x", "-o", "y", "--bands", "1000000000"], "--bands"),
        (["recipes", "extra"], "extra"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(call, place, words, named):
    result = call(*words)
    assert result.code == 2
    assert result.out == ""
    assert named.upper() in result.err.upper()
    assert "Traceback" not in result.err
    assert list(place.iterdir()) == []


def test_no_command_shows_the_help(call):
    result = call()
    assert result.code == 2
    assert "Usage" in result.out + result.err


@pytest.mark.parametrize("command", ["recipes", "run", "evaluate", "spectra"])
def test_every_command_has_help(call, command):
    result = call(command, "--help")
    assert result.code == 0
    assert result.err == ""
    assert "Usage" in result.out


@pytest.mark.parametrize(
    ("command", "choices"),
    [("corrupt", SETS), ("evaluate", SETS), ("evaluate", PRECISIONS), ("reliance", PRECISIONS)],
)
def test_help_lists_the_choices(call, command, choices):
    assert "|".join(choices) in call(command, "--help").out


def test_recipes_lists_each_with_its_data(call):
    result = call("recipes")
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines() if not line.startswith(" ")]
    assert ["quickstart", "photos"] in rows
    assert len([row for row in rows if row[0].startswith("resnet18_cifar10.") and row[1] == "cifar10"]) == 14


def test_recipes_keep_their_names_on_a_narrow_terminal(call, monkeypatch):
    monkeypatch.setattr(console, "width", 30)
    lines = call("recipes").out.splitlines()
    assert "resnet18_cifar10.antialiasing_equalization_shaping  cifar10" in lines
    assert max(len(line) for line in lines if line.startswith(" ")) <= 30


def test_a_package_that_cannot_be_imported_is_named_and_the_rest_is_listed(tmp_path):
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[freqfast.recipes]\nstranger = no_such_module\n")
    result = program("recipes", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0
    assert result.stderr == (
        "freqfast: warning: recipe entry point 'stranger' (no_such_module) cannot be imported: "
        "No module named 'no_such_module'\n"
    )
    assert "quickstart" in result.stdout


def test_ctrl_c_is_no_traceback(call, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("freqfast.runs.registry.list_recipes", interrupt)
    result = call("recipes")
    assert result.code in (1, 130)
    assert result.out == ""
    assert "Traceback" not in result.err

"""The program as a whole, in processes of its own, and wrong usage."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from unittest.mock import Mock

import pytest
from freqfast.cli.errors import one_line_warnings
from freqfast.cli.output import console
from rich.console import Console

import freqfast
from freqfast.models.zoo import read_cards

IN_TURN = """
import sys
from freqfast.cli.main import main
for line in sys.argv[1:]:
    sys.argv = ["freqfast", *line.split()]
    try:
        main()
    except SystemExit:
        pass
    print("imported:", *sorted({"torch", "fastai", "scipy", "h5py", "matplotlib"} & set(sys.modules)))
    print("end of", line, file=sys.stderr)
"""


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False, **options)


def program(*words, **options):
    return python("-m", "freqfast", *words, **options)


def test_a_rank_without_a_local_rank_tells_the_version():
    """Some schedulers set the first for whatever they start; `torchrun` and its like set both."""
    result = program("--version", env=os.environ | {"RANK": "1", "WORLD_SIZE": "2"})
    assert (result.returncode, result.stdout, result.stderr) == (0, f"freqfast {freqfast.__version__}\n", "")


def test_help_names_the_commands_in_less_than_a_second():
    # In processor time, which other processes on the machine do not lengthen as they do the clock's.
    seconds = []
    for _ in range(2):  # the first may have to compile
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = program("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("recipes", "run", "evaluate", "spectra", "--version"))
    assert min(seconds) < 1


LIGHT = (
    "--help",
    "recipes",
    "models",
    "evaluate zoo:nosuch",
    "run nosuch",
    "run --resume absent",
    "rerun absent",
    "evaluate absent",
    "evaluate absent.json",
    "run quickstart --data absent",
    "run quickstart --set lr=-1",
    "run quickstart --data ~nosuchuser",
    "evaluate timm:resnet18 --corruptions rain",
    "corrupt absent --out c",
    "corrupt photos --out c --corruptions rain",
    "heatmap absent",
    "report absent",
    "spectra absent -o x.h5",
    "show absent.h5",
    "study absent.toml",
)


def in_turn(place, *lines, before="", **variables):
    """Runs command lines in one fresh process: by line the packages that are imported then, and its stderr."""
    done = python("-c", before + IN_TURN, *lines, cwd=place, env=os.environ | variables)
    imported = re.findall(r"^imported:(.*)$", done.stdout, flags=re.MULTILINE)
    errors = re.split(r"^end of .*\n", done.stderr, flags=re.MULTILINE)[:-1]
    return dict(zip(lines, zip(imported, errors, strict=True), strict=True))


def test_answers_that_import_no_heavy_package(tmp_path):
    for line, (imported, error) in in_turn(tmp_path, *LIGHT).items():
        assert imported == "", line
        assert "Traceback" not in error


def test_a_wrong_model_is_refused_before_fastai_is_imported(tmp_path):
    ((imported, error),) = in_turn(tmp_path, "run quickstart --set model.widht=8").values()
    assert error.startswith("freqfast: model 'resnet18' with ")
    assert "fastai" not in imported


def test_a_terminal_is_told_before_torch_is_imported(tmp_path):
    (tmp_path / "net.safetensors").touch()
    lines = (
        "run quickstart",
        "finetune net.safetensors -o x.safetensors",
        "evaluate net.safetensors",
        "corrupt photos --out c",
        "spectra net.safetensors -o x.h5",
        "heatmap net.safetensors",
    )
    without = "import sys; sys.modules['torch'] = None; sys.stderr.isatty = lambda: True"
    for line, (_, error) in in_turn(tmp_path, *lines, before=without, TERM="xterm").items():
        assert "import of torch halted" in error, line
        assert "loading PyTorch" in error, line


@pytest.mark.parametrize("words", ["recipes", "--help"])
def test_a_closed_pipe_is_no_error(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "freqfast", words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), error) == (0, "")


def test_warnings_are_one_line_each(tree, tmp_path):
    """Here of a cache that is no folder."""
    (tmp_path / "file").touch()
    words = ("corrupt", str(tree), "--out", "c", "--corruptions", "contrast", "--limit", "1")
    result = program(*words, cwd=tmp_path, env=os.environ | {"FREQFAST_CACHE": str(tmp_path / "file")})
    assert result.returncode == 0
    assert result.stderr.startswith("freqfast: warning: decoded data not cached (")
    assert result.stderr.count("\n") == 1


def test_warnings_for_developers_are_not_shown(capsys):
    with one_line_warnings():
        warnings.warn("this function is going away", FutureWarning, stacklevel=1)
        warnings.warn("this file is old", stacklevel=1)
    assert capsys.readouterr().err == "freqfast: warning: this file is old\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "Usage"),
        (["nosuch"], "nosuch"),
        (["run"], "recipe"),
        (["run", "quickstart", "--epochs", "two"], "got 'two'"),
        (["spectra", "x", "-o", "y", "--bands", "0"], "--bands"),
        (["study", "x.toml", "--seed", "0", "--seed", "1.5"], "got '1.5'"),
        (["run", "quickstart", "-o", ""], "the value after -o is empty"),
        (["corrupt", "cifar10", "--out="], "the value after --out is empty"),
        (
            ["evaluate", "net.py:net", "--mean", "0.5", "0.4", "0.3"],
            "0.5 0.4: write several numbers as one word, as in --mean",
        ),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(call, place, words, named):
    result = call(*words)
    assert result.code == 2
    assert named.upper() in (result.out + result.err).upper()
    assert "Traceback" not in result.err
    assert list(place.iterdir()) == []


def test_folders_whose_names_are_numbers(call, place):
    for name in ("0.5", "0.9"):
        (place / name).mkdir()
    assert "0.5 is no run directory" in call("report", "0.5", "0.9").err


def test_models_lists_each_with_its_accuracies(accepted):
    result = accepted("models", silent=True)
    for name, card in read_cards().items():
        row = next(line for line in result.out.splitlines() if f" zoo:{name} " in line)
        columns = (card.accuracy[name] for name in ("clean", "mean15", "mean7", "mean_bar"))
        expected = [f"{100 * a.value:.2f} ± {50 * (a.high - a.low):.2f}" for a in columns]
        assert [cell.strip() for cell in row.split("│")[2:-1]] == expected
        assert f"zoo:{name}: {card.recipe}, width {card.width}, {card.epochs} epochs" in result.out


def test_models_in_a_narrow_terminal(call, monkeypatch):
    monkeypatch.setattr("freqfast.cli.models.console", Console(width=50))
    lines = call("models").out.splitlines()
    for name, card in read_cards().items():
        assert f" {100 * card.accuracy['clean'].value:.2f} ± " in next(
            line for line in lines if f" zoo:{name} " in line
        )


def test_a_message_for_a_closed_standard_error_is_not_output():
    command = [sys.executable, "-m", "freqfast", "nosuch"]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_an_encoding_that_lacks_characters_is_no_error():
    done = program("models", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_working_directory_that_is_gone_is_refused(refused, place, monkeypatch):
    (place / "gone").mkdir()
    monkeypatch.chdir(place / "gone")
    (place / "gone").rmdir()
    assert "the working directory was removed; change to another" in refused("recipes")


def test_recipes_lists_each_with_its_data(call, accepted, monkeypatch):
    result = accepted("recipes")
    rows = [line.split() for line in result.out.splitlines() if not line.startswith(" ")]
    assert ["quickstart", "photos"] in rows
    assert len([row for row in rows if row[0].startswith("resnet18_cifar10.") and row[1] == "cifar10"]) == 15
    monkeypatch.setattr(console, "width", 30)  # names stay whole on a narrow terminal
    lines = call("recipes").out.splitlines()
    assert "resnet18_cifar10.antialiasing_equalization_shaping  cifar10" in lines
    assert max(len(line) for line in lines if line.startswith(" ")) <= 30


@pytest.mark.parametrize("seconds", [0.02, 0.3, *(pytest.param(each, marks=pytest.mark.slow) for each in (0.8, 2))])
def test_ctrl_c_while_packages_are_imported_is_no_traceback(tmp_path, seconds):
    """From the program's first line on; what Python does before is not ours."""
    code = "from freqfast.__main__ import main; print(flush=True); main()"
    words = [sys.executable, "-c", code, "run", "quickstart", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)


@pytest.mark.parametrize("words", [["run", "quickstart", "--out", "\udcff"], ["corrupt", "\udcff", "--out", "c"]])
def test_names_that_are_not_utf_8_are_refused(refused, words):
    assert "'\\udcff' is not UTF-8; rename it, or use another place" in refused(*words)


def test_a_place_in_the_environment_is_refused_by_its_name(refused, monkeypatch):
    monkeypatch.setenv("FREQFAST_DATA", "\udcff")
    assert "FREQFAST_DATA '\\udcff' is not UTF-8" in refused("recipes")
    monkeypatch.setenv("FREQFAST_DATA", "~nosuchuser")
    assert "~nosuchuser: there is no such user" in refused("corrupt", "cifar10", "--out", "c")
    monkeypatch.delenv("FREQFAST_DATA")
    monkeypatch.setenv("FREQFAST_CACHE", "~nosuchuser")
    assert "~nosuchuser: there is no such user" in refused("corrupt", "cifar10", "--out", "c")


EXITS = {
    "at import": "import sys; sys.exit(0)",
    "for a name": "def __getattr__(name): raise RuntimeError('no')",
    "when called": "import sys\ndef net(): sys.exit(0)",
}


@pytest.mark.parametrize("when", EXITS)
def test_code_that_ends_the_program_is_refused(refused, place, when):
    module = f"exits_{list(EXITS).index(when)}"
    (place / f"{module}.py").write_text(EXITS[when])
    line = refused("quality", f"{module}:net")
    assert f"{module}:net cannot be " in line
    if when != "when called":
        assert f"{module}:net cannot be imported" in refused("run", f"{module}:net")


def test_other_code_that_ends_the_program_is_told(call, monkeypatch):
    monkeypatch.setattr("freqfast.runs.registry.list_recipes", sys.exit)
    result = call("recipes")
    assert (result.code, result.err) == (1, "freqfast: code of another package ended the program with None\n")


def test_ctrl_c_is_no_traceback(call, monkeypatch):
    monkeypatch.setattr("freqfast.runs.registry.list_recipes", Mock(side_effect=KeyboardInterrupt))
    result = call("recipes")
    assert result.code in (1, 130)
    assert result.out == ""
    assert "Traceback" not in result.err


def test_too_little_address_space_is_the_machine_s_fault(tmp_path):
    limited = [
        "sh",
        "-c",
        'ulimit -v 400000; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "freqfast",
        "quality",
        "zoo:baseline-w16",
    ]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_a_locale_that_is_not_utf_8_is_named(tmp_path):
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = program("quality", "n\u00e4.safetensors", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (
        2,
        "freqfast: 'n\\xe4.safetensors': the locale is not UTF-8; set LC_ALL=C.UTF-8\n",
    )

"""Run directories: how they appear, and how they are read back."""

import errno
import fcntl
import json
import os
import stat
from dataclasses import replace

import pytest

from freqfast.data.images import data_hash
from freqfast.models.file import write_model
from freqfast.records import plain, write_record
from freqfast.runs.directory import RunDirectory, find_run
from freqfast.runs.environment import DataOrigin, environment_differences
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import load_run, load_run_data
from tests.support.runs import ENVIRONMENT, REPORT
from tests.support.sound_model import stored_network
from tests.support.trees import make_tree

RECIPE = Recipe("größer", model_options={"width": 8})


@pytest.fixture(scope="module")
def stored():
    return stored_network("abc")


@pytest.fixture
def run(tmp_path, stored):
    """A finished run's directory, written by hand."""
    directory = RunDirectory(tmp_path / "run")
    with directory.created(RECIPE, ENVIRONMENT):
        write_model(directory.model, stored)
        write_record(directory.report, REPORT)
    return directory


def test_a_run_is_found_by_its_folder_or_its_model_and_loaded(run, tmp_path):
    assert find_run(run.path).path == find_run(run.model).path == run.path
    assert find_run(tmp_path) is find_run(run.report) is None
    found = load_run(str(run.path))
    assert (found.path, found.recipe, found.report, found.environment) == (run.path, RECIPE, REPORT, ENVIRONMENT)
    assert found.model is found.network.module
    found = replace(found, report=replace(REPORT, mean15=0.25, mean19=0.125))
    figures = "seed 0, clean 50.00 %, mean15 25.00 %, mean19 12.50 %, low filters 100 %, high filters 0 %"
    assert repr(found) == f"Run({str(run.path)!r}: a recipe, {figures})"


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "report.json", "model.safetensors"])
def test_missing_file_is_named(run, name):
    (run.path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")) as caught:
        load_run(run.path)
    assert str(run.path) in str(caught.value)


@pytest.mark.parametrize("name", ["recipe.toml", "report.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b"[" * 100_000], ids=["not UTF-8", "list", "deep"])
def test_corrupt_file_is_named(run, name, content):
    (run.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        load_run(run.path)
    assert str(run.path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("threads", "2"), ("threads", 0), ("threads", True), ("device", None)])
def test_invalid_environment_names_the_key(run, key, value):
    run.environment.write_text(json.dumps(plain(ENVIRONMENT) | {key: value}))
    with pytest.raises(ValueError, match=rf"environment\.json: {key} must be "):
        load_run(run.path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clean": 1.5}, "clean must be less than or equal to 1, got 1.5"),
        ({"accuracy": {"fog": {"1": None}}}, "accuracy.fog.1 must be a valid number, got None"),
        ({"bands": ["low"]}, "proportion.before must have a share for each of the 1 bands"),
        (
            {"proportion": {"before": [0.5, 0.5], "after": [0.5, 0.5], "target": [1.0]}},
            "proportion.target must have a share for each of the 2 bands",
        ),
        ({"seconds": {"fit": 1.0}}, "seconds.evaluate is missing"),
        ({"schema": 2}, "schema 2 is not the one that this version reads"),
    ],
)
def test_invalid_report_names_the_key(run, change, reason):
    run.report.write_text(json.dumps(plain(REPORT) | change))
    with pytest.raises(ValueError, match=reason) as caught:
        load_run(run.path)
    assert str(caught.value).startswith(f"{run.report}: ")
    assert str(caught.value).endswith("; remove the file and resume the run, which then trains anew")


def test_records_of_newer_versions_are_read(run):
    for path in (run.report, run.environment):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"new": 1}))
    assert (load_run(run.path).report, load_run(run.path).environment) == (REPORT, ENVIRONMENT)


def test_data_of_a_run(run, tmp_path, install):
    """The run's data set, from where it was; CIFAR-10 where nothing can be read."""
    source = (
        "from freqfast.data import ImageData, load_data\n"
        "from dataclasses import replace\n"
        "def load(place, progress): return replace(load_data('photos'), name=f'stripes of {place}')\n"
    )
    install("data", source, stripes="load")
    assert load_run_data(None, "photos").name == load_run_data(run, "photos").name == "photos"
    write_record(run.recipe, replace(RECIPE, data="stripes"))
    same = data_hash(load_run_data(None, "photos"))
    for place in (str(tmp_path), None):
        write_record(run.environment, replace(ENVIRONMENT, data=DataOrigin("x", same, place)))
        assert load_run_data(run).name == f"stripes of {place}"
        assert load_run_data(run, tmp_path / "there").name == f"stripes of {tmp_path / 'there'}"
    run.environment.write_text("{")
    assert load_run_data(run).name == "stripes of None"
    run.recipe.write_text("=")
    tree = load_run_data(None, make_tree(tmp_path / "tree"))
    here = DataOrigin("x", data_hash(tree), str(tmp_path / "tree"))
    write_record(run.environment, replace(ENVIRONMENT, data=here))
    assert load_run_data(run).classes == tree.classes


def test_data_of_a_run_that_is_not_there_any_more(run, tmp_path):
    """It is not sought elsewhere, and other data is taken only where it is named."""
    write_record(run.environment, replace(ENVIRONMENT, data=DataOrigin("x", "0", "/gone")))
    with pytest.raises(FileNotFoundError, match=r"^/gone, where the run's data was, does not exist; name the place"):
        load_run_data(run)
    tree = make_tree(tmp_path / "tree")
    with pytest.raises(ValueError, match=f"^{tree} is not the data that {run.path} was trained on; name its own$"):
        load_run_data(run, tree, own=True)
    assert load_run_data(run, tree).name == "tree"
    write_record(run.recipe, replace(RECIPE, data="photos"))
    write_record(run.environment, replace(ENVIRONMENT, data=DataOrigin("photos", "0")))
    with pytest.raises(ValueError, match=f"^photos is not the data that {run.path} was trained on; name its own$"):
        load_run_data(run)


def test_environment_differences_leave_out_what_changes_no_result():
    moved = replace(ENVIRONMENT.data, path="/elsewhere")
    other = replace(
        ENVIRONMENT, data=moved, threads=2, ranks=2, command="other", recipe_sha256="1", packages={"torch": "3"}
    )
    assert environment_differences(ENVIRONMENT, other) == [
        "threads: 1, now 2",
        "ranks: 1, now 2",
        "packages.torch: None, now 3",
    ]


# How a directory appears


def test_created_directory_is_locked_while_the_block_lasts_and_never_replaced(tmp_path):
    directory = RunDirectory(tmp_path / "deep" / "run")
    with directory.created(RECIPE, ENVIRONMENT):
        assert directory.is_started
        assert not directory.is_finished
        with pytest.raises(BlockingIOError, match="in use by another process"), directory.locked():
            pass
    with directory.locked():
        assert sorted(os.listdir(directory.path)) == ["environment.json", "recipe.toml"]
    again = directory.created(RECIPE, ENVIRONMENT)
    with pytest.raises(BlockingIOError, match="run was just made by another process; choose another out"), again:
        pass


def test_lock_holds_between_machines(tmp_path, monkeypatch):
    """On NFS: a folder's lock is the machine's own, and a file has to be open for writing."""
    lock = fcntl.flock

    def flock_on_nfs(handle, operation):
        if stat.S_ISREG(os.fstat(handle).st_mode):
            if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            lock(handle, operation)

    monkeypatch.setattr("fcntl.flock", flock_on_nfs)
    directory = RunDirectory(tmp_path / "run")
    for taken in (directory.created(RECIPE, ENVIRONMENT), directory.locked()):
        with taken, pytest.raises(BlockingIOError, match="run is in use by another process"), directory.locked():
            pass


def test_what_a_killed_process_left_is_removed_with_the_lock(run):
    run.checkpoints.mkdir()
    (left := run.checkpoints / ".last.pt.killed.tmp").touch()
    with run.locked():
        assert not left.exists()


def test_a_folder_that_is_no_run_keeps_its_files(tmp_path):
    (mine := tmp_path / ".notes.mine.tmp").touch()
    with RunDirectory(tmp_path).locked():
        assert mine.exists()


def test_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    inside = RunDirectory(tmp_path / "file" / "run").created(RECIPE, ENVIRONMENT)
    with pytest.raises(OSError, match=r"^\S+run cannot be made \("), inside:
        pass

"""Job arrays of a real Slurm, which slurm.sh sets up; it keeps no accounts."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from freqfast.runs.run import load_run
from freqfast.study import gather, load_study, run_study
from freqfast.training import RunStoppedError

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _cluster():
    if "SLURM_CONF" not in os.environ or shutil.which("sinfo") is None or slurm("sinfo", "-h") == "":
        pytest.skip("tests/study/slurm.sh has not been run, or SLURM_CONF does not name its cluster")


@pytest.fixture
def study(write):
    return load_study(write(('model = "tiny"\n', ""), ("[0, 1]", "[0]")))  # which is of these tests alone


def slurm(*command):
    """What one of Slurm's commands prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_a_study_from_nothing_to_its_table(study, tree, tmp_path):
    out = tmp_path / "out"
    assert run_study(study, out, data_path=tree, slurm={"partition": "main", "cpus_per_task": 1}) == {}
    results = gather(study, out)
    assert [row.name for row in results.rows] == ["baseline/seed-0", "low/seed-0"]
    for row in results.rows:
        assert row.report.corrupted >= 0  # with or without frost, and with it a mean15
        assert row.environment.threads == 1
    (script,) = out.glob("jobs/*/*_submission.sh")
    assert "#SBATCH --array=0-1" in script.read_text()


def test_a_stop_takes_the_jobs_out_of_the_queue_and_they_go_on(study, tree, tmp_path):
    out = tmp_path / "out"
    row = out / "runs" / "baseline" / "seed-0" / "metrics.csv"

    def stop():
        return signal.SIGINT if row.exists() else None

    with pytest.raises(RunStoppedError, match="interrupted with"):
        run_study(study, out, data_path=tree, slurm={"cpus_per_task": 1, "array_parallelism": 1}, stop=stop)
    deadline = time.monotonic() + 60
    while slurm("squeue", "-h"):  # those that do not save in time are killed
        assert time.monotonic() < deadline
        time.sleep(1)
    assert not (out / "runs" / "low").exists()
    assert run_study(study, out, data_path=tree, slurm={"cpus_per_task": 2}) == {}
    assert load_run(row.parent).report.corrupted >= 0


def test_a_preempted_run_goes_back_into_the_queue_and_on(study, tree, tmp_path):
    out, told = tmp_path / "out", []
    row = out / "runs" / "baseline" / "seed-0" / "metrics.csv"

    def preempt(done, total, message):
        if row.exists() and not told:
            told.append(slurm("squeue", "-h", "-o", "%A"))
            slurm("scancel", "--signal=USR2", told[0])  # what Slurm sends ahead

    parameters = {"cpus_per_task": 1}
    assert run_study(study, out, arms=["baseline"], data_path=tree, slurm=parameters, progress=preempt) == {}
    assert told
    (log,) = out.glob("jobs/*/*_0_log.out")
    assert "Requeued job" in log.read_text()
    assert load_run(row.parent).report.corrupted >= 0


def test_two_processes_train_each_run_together(study, tree, tmp_path):
    out = tmp_path / "out"
    parameters = {"cpus_per_task": 1, "ntasks_per_node": 2}  # what two GPUs would set
    assert run_study(study, out, arms=["baseline"], data_path=tree, device="cpu", slurm=parameters) == {}
    assert load_run(out / "runs" / "baseline" / "seed-0").environment.ranks == 2

"""submitit's executors for real, with tasks that are light; Slurm's commands are stand-ins."""

import os
import signal
import sys
import time

import pytest
import submitit

from freqfast.study import load_study
from freqfast.study.executors import cancel, launching, local_executor, slurm_executor
from freqfast.study.job import Job, SlurmTask
from freqfast.study.queue import Watch, run_all
from freqfast.study.running import _gpus
from freqfast.training import RunStoppedError


@pytest.fixture
def todo(write, tmp_path):
    return [Job(run, tmp_path / "out") for run in load_study(write()).runs()]


@pytest.fixture
def account(todo):
    """What a `Watch` was told: errors by run, and the runs in the order of their ends."""
    errors, ended = {}, []
    watch = Watch(todo, errors, None, lambda run, error: ended.append(run.name), lambda: None)
    return watch, errors, ended


def test_jobs_share_the_slots(todo, account, tmp_path):
    watch, errors, ended = account
    notes = tmp_path / "notes"
    notes.mkdir()

    def task(job):
        import os
        import time

        path = notes / job.run.name.replace("/", "-")
        path.write_text(f"{len(list(notes.glob('*.now')))} {job.gpus} {os.environ['OMP_NUM_THREADS']}")
        path.with_suffix(".now").touch()
        time.sleep(0.2)
        path.with_suffix(".now").unlink()
        if job.run.name == "low/seed-0":
            os._exit(1)
        return "went wrong" if job.run.name == "baseline/seed-1" else None

    before = dict(os.environ)
    submitit.Job._results_timeout_s, timeout = 0, submitit.Job._results_timeout_s
    try:
        run_all(local_executor(tmp_path / "jobs"), task, todo, ["0", "1"], 3, watch)
    finally:
        submitit.Job._results_timeout_s = timeout
    assert dict(os.environ) == before
    assert sorted(ended) == sorted(job.run.name for job in todo)
    assert errors == {
        "low/seed-0": "its process ended without a result, killed perhaps",
        "baseline/seed-1": "went wrong",
    }
    told = [path.read_text().split() for path in notes.iterdir() if path.suffix != ".now"]
    assert all(int(others) <= 1 and gpu in ("0", "1") and threads == "3" for others, gpu, threads in told)
    assert {gpu for _, gpu, _ in told} == {"0", "1"}
    assert "killed perhaps" in (todo[0].out / "runs" / "low" / "seed-0.error").read_text()


def test_a_stop_ends_the_processes(todo, tmp_path):
    def task(job):
        import signal
        import time
        from pathlib import Path

        told = []
        signal.signal(signal.SIGTERM, lambda *args: told.append(args))
        Path(tmp_path / "started").touch()
        while not told:
            time.sleep(0.05)
        Path(tmp_path / "saved").touch()

    def stop():
        return signal.SIGINT if (tmp_path / "started").exists() else None

    watch, start = Watch(todo, {}, None, None, stop), time.monotonic()
    with pytest.raises(RunStoppedError, match="interrupted with 4 of 4 runs left") as caught:
        run_all(local_executor(tmp_path / "jobs"), task, todo, [None], 1, watch)
    assert caught.value.signum == signal.SIGINT
    assert (tmp_path / "saved").exists()
    assert time.monotonic() - start < 60
    cancel([])


def test_ctrl_c_at_the_terminal_is_not_for_the_children():
    before = signal.getsignal(signal.SIGINT)
    with launching(None):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == before


def test_gpus_in_turn(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert _gpus(None) == [None]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _gpus(None) == ["0", "1"]
    assert _gpus("cuda") == ["0", "1"]
    assert _gpus("cuda:1") == ["0,1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert _gpus(None) == ["5", "GPU-7"]


# Slurm


def test_no_slurm_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="--slurm: there is no srun here"):
        slurm_executor(tmp_path, {})


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands: sbatch keeps the script and runs the array's tasks one after the other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "words = sys.argv[sys.argv.index('-u') - 1 :]\n"
        "os.execvp(words[0], words)\n"
    )
    (folder / "sbatch").write_text(
        f"#!{sys.executable}\n"
        "import os, shutil, subprocess, sys\n"
        f"shutil.copy(sys.argv[1], {str(tmp_path / 'script.sh')!r})\n"
        "for i in range(2):\n"
        "    names = {'JOB_ID': f'1{i}', 'ARRAY_JOB_ID': '12', 'ARRAY_TASK_ID': str(i), 'PROCID': '0'}\n"
        "    names = {f'SLURM_{name}': value for name, value in names.items()}\n"
        f"    subprocess.Popen(['sh', {str(tmp_path / 'script.sh')!r}], env=os.environ | names,\n"
        "                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print('Submitted batch job 12')\n"
    )
    (folder / "sacct").write_text("#!/bin/sh\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "script.sh"


def test_a_job_array(slurm, todo, account, tmp_path):
    watch, errors, ended = account
    parameters = {"partition": "long", "gpus_per_node": 1, "array_parallelism": 2}
    executor = slurm_executor(tmp_path / "jobs", parameters)

    def task(job):
        return "went wrong" if job.run.arm == "low" else None

    run_all(executor, task, todo[:2], [None, None], None, watch)
    assert sorted(ended) == ["baseline/seed-0", "low/seed-0"]
    assert errors == {"low/seed-0": "went wrong"}
    script = slurm.read_text()
    for line in ("partition=long", "gpus-per-node=1", "array=0-1%2", "time=1440", "job-name=freqfast"):
        assert f"#SBATCH --{line}\n" in script


def test_jobs_that_slurm_does_not_take(slurm, todo, account, tmp_path):
    refusal = "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed"
    (slurm.parent / "bin" / "sbatch").write_text(f"#!/bin/sh\nprintf {refusal!r} >&2\nexit 1\n")
    executor = slurm_executor(tmp_path / "jobs", {"partition": "nosuch"})
    message = "--slurm: Slurm does not take the jobs: invalid partition specified: nosuch; Batch job submission failed"
    with pytest.raises(ValueError, match=f"^{message}$"):
        run_all(executor, SlurmTask(), todo[:2], [None, None], None, account[0])
    assert not (tmp_path / "jobs").exists()


def test_a_preempted_job_goes_back_into_the_queue_as_it_was(todo):
    task = SlurmTask()
    again = task.checkpoint(todo[0])
    assert (again.function, again.args) == (task, (todo[0],))

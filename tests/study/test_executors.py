"""submitit's executors with light tasks; Slurm's commands are stand-ins."""

import os
import signal
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import submitit

from freqfast.study import load_study, run_study
from freqfast.study.executors import LocalTask, SlurmTask, _starting_processes, local_executor, slurm_executor
from freqfast.study.folder import StudyFolder
from freqfast.study.job import Job
from freqfast.study.running import Account, _gpus, perform_all
from freqfast.training import RunStoppedError


@pytest.fixture
def todo(write, tmp_path):
    return [Job(run, StudyFolder(tmp_path / "out")) for run in load_study(write()).runs()]


@pytest.fixture
def task(monkeypatch):
    """Has submitit's executors call a function in place of performing jobs."""

    def task(function):
        for name in ("LocalTask", "SlurmTask"):
            monkeypatch.setattr(f"freqfast.study.executors.{name}", lambda: function)

    return task


def test_jobs_share_the_slots(todo, task, tmp_path, monkeypatch):
    notes, ended, told = tmp_path / "notes", [], []
    notes.mkdir()

    @task
    def perform(job):
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

    todo = todo[:3]
    account = Account(todo, lambda *call: told.append(call), lambda run, error: ended.append(run.name))
    before = dict(os.environ)
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)
    perform_all(local_executor(tmp_path / "jobs", ["0", "1"], threads=3), todo, account)
    assert dict(os.environ) == before
    assert sorted(ended) == sorted(job.run.name for job in todo)
    assert account.errors == {
        "low/seed-0": "its process ended without a result; it may have been killed",
        "baseline/seed-1": "went wrong",
    }
    seen = [path.read_text().split() for path in notes.iterdir() if path.suffix != ".now"]
    assert all(int(others) <= 1 and gpu in ("0", "1") and threads == "3" for others, gpu, threads in seen)
    assert {gpu for _, gpu, _ in seen} == {"0", "1"}
    assert "may have been killed" in (tmp_path / "out" / "runs" / "low" / "seed-0.error").read_text()
    assert told[0] == (0, 6, "0 of 3 runs; baseline/seed-0 epoch 0, low/seed-0 epoch 0")
    assert not (tmp_path / "jobs").exists()


def test_stop_ends_the_processes(todo, task, tmp_path):
    @task
    def perform(job):
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

    start = time.monotonic()
    with pytest.raises(RunStoppedError, match="interrupted with 4 runs left") as caught:
        perform_all(local_executor(tmp_path / "jobs", [None], threads=1), todo, Account(todo, stop=stop))
    assert caught.value.signum == signal.SIGINT
    assert (tmp_path / "saved").exists()
    assert time.monotonic() - start < 60


def test_a_study_runs_in_processes_of_submitit(write, tree, task, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit")  # not Python's
    monkeypatch.chdir(tmp_path)

    @task
    def perform(job):
        import os

        return f"{job.run.name} with {job.threads} and {os.environ['OMP_NUM_THREADS']} threads"

    study, options = load_study(write()), {"arms": ["low"], "seeds": [0], "jobs": 2, "threads": 3}
    errors = run_study(study, tmp_path / "out", data_path=tree, **options)
    assert errors == {"low/seed-0": "low/seed-0 with 3 and 3 threads"}
    assert not (tmp_path / "out" / "jobs").exists()


@pytest.mark.parametrize(
    ("options", "slots", "threads"),
    [
        ({"jobs": 3}, ["0", "1", "0"], 2),
        ({"jobs": 9}, [*"010101010"], 1),
        ({"slurm": {"cpus_per_task": 5}}, 2, 5),
        ({"slurm": {"cpus_per_task": 5}, "threads": 3}, 2, 3),
        ({"slurm": {}}, 2, None),
    ],
)
def test_what_runs_in_other_processes_have(write, tree, tmp_path, here, monkeypatch, options, slots, threads):
    seen = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    monkeypatch.setattr("freqfast.study.running._gpus", lambda device: ["0", "1"])
    for name in ("local_executor", "slurm_executor"):
        monkeypatch.setattr(f"freqfast.study.running.{name}", lambda *args: args[:3])
    perform = "freqfast.study.running.perform_all"
    monkeypatch.setattr(perform, lambda executor, todo, account: seen.extend([executor, todo[0].threads]))
    run_study(load_study(write()), tmp_path / "out", arms=["low"], data_path=tree, **options)
    assert seen == [(tmp_path / "out" / "jobs", slots, threads), threads]


def test_a_job_in_a_process_of_its_own_stops_by_sigterm(capsys):
    def perform(stop, log):
        log("epoch 1/1")
        before = stop()
        os.kill(os.getpid(), signal.SIGTERM)
        return before, stop()

    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert LocalTask()(SimpleNamespace(perform=perform)) == (None, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert capsys.readouterr().out == "epoch 1/1\n"  # into the job's log


def test_more_than_two_running_jobs_are_counted(todo):
    told = []
    account = Account(todo, lambda *call: told.append(call))
    account.running = list(todo)
    account.report()
    assert told == [(0, 8, "0 of 4 runs; baseline/seed-0 epoch 0, low/seed-0 epoch 0, 2 more")]


def test_evaluations_count_as_much_as_epochs_that_take_as_long(todo):
    told, job = [], replace(todo[0], evaluations=(6, 3))
    account = Account([job], lambda *call: told.append(call))
    account.running = [job]
    directory = job.folder.run(job.run)
    directory.path.mkdir(parents=True)
    account.report("epoch 1/1", 0.9)
    directory.metrics.write_text("epoch\n" + "0\n" * job.run.recipe.epochs)
    account.report("fog 1", 0.5)
    directory.report.touch()
    account.report("plasma_noise 2", 0.4)
    account.end(job, None)
    account.report()
    assert [call[:2] for call in told] == [(0, 10), (1 + 3, 10), (1 + 6 + 1, 10), (10, 10)]


def test_ctrl_c_at_the_terminal_does_not_reach_the_children():
    before = signal.getsignal(signal.SIGINT)
    with _starting_processes(None):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == before


def test_gpus_in_turn(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert _gpus(None) == [None]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _gpus(None) == _gpus("cuda") == ["0", "1"]
    assert _gpus("cuda:1") == ["0,1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert _gpus(None) == ["5", "GPU-7"]


@pytest.mark.parametrize(
    ("options", "purpose"), [({"jobs": 2}, "running several runs at a time"), ({"slurm": {}}, "submitting to Slurm")]
)
def test_processes_need_submitit(write, tree, tmp_path, here, monkeypatch, options, purpose):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=rf"{purpose} needs submitit; .*pip install 'freqfast\[cluster\]'"):
        run_study(load_study(write()), tmp_path / "out", data_path=tree, **options)


# Slurm


def test_no_slurm_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"^there is no srun here"):
        slurm_executor(tmp_path / "jobs", 1, None, {})
    assert not (tmp_path / "jobs").exists()


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands: sbatch keeps the script and starts two jobs, srun the two ranks of each."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "words = sys.argv[sys.argv.index('-u') - 1 :]\n"
        "for rank in range(2):\n"
        "    os.environ['SLURM_PROCID'] = str(rank)\n"
        "    os.spawnvp(os.P_WAIT, words[0], words)\n"
    )
    (folder / "sbatch").write_text(
        f"#!{sys.executable}\n"
        "import os, shutil, subprocess, sys\n"
        f"shutil.copy(sys.argv[1], {str(tmp_path / 'script.sh')!r})\n"
        "for i in range(2):\n"
        "    names = {'JOB_ID': f'1{i}', 'ARRAY_JOB_ID': '12', 'ARRAY_TASK_ID': str(i), 'NTASKS': '2'}\n"
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


def test_job_array(slurm, todo, task, tmp_path):
    @task
    def perform(job):
        import os

        is_wrong = job.run.arm == "low"
        return f"went wrong on rank {os.environ['SLURM_PROCID']}" if is_wrong else None

    parameters = {"partition": "long", "gpus_per_node": "a100:2", "array_parallelism": 2}
    account = Account(todo[:2])
    perform_all(slurm_executor(tmp_path / "jobs", 2, None, parameters), todo[:2], account)
    assert account.errors == {"low/seed-0": "went wrong on rank 0"}
    script = slurm.read_text()
    lines = "partition=long gpus-per-node=a100:2 ntasks-per-node=2 array=0-1%2 time=1440 job-name=freqfast"
    assert {f"#SBATCH --{line}" for line in lines.split()} <= set(script.splitlines())
    assert list(tmp_path.glob("jobs/*/*_submission.sh"))  # logs stay


@pytest.mark.parametrize(("tasks", "rank"), [(1, None), (2, "1")])
def test_processes_of_a_job_are_ranks(monkeypatch, tasks, rank):
    monkeypatch.setattr(os, "environ", os.environ | {"SUBMITIT_EXECUTOR": "slurm"})
    for name, value in {"JOB_ID": 7, "NTASKS": tasks, "PROCID": tasks - 1, "LOCALID": tasks - 1}.items():
        os.environ[f"SLURM_{name}"] = str(value)
    job = SimpleNamespace(perform=lambda log: (os.environ.get("RANK"), "MASTER_PORT" in os.environ))
    assert SlurmTask()(job) == (rank, rank is not None)


@pytest.mark.parametrize("gpus", ["many", "a100:", True])
def test_a_number_of_gpus_is_a_number(slurm, tmp_path, gpus):
    with pytest.raises(ValueError, match=f"^gpus_per_node must be a number, .* got {gpus!r}$"):
        slurm_executor(tmp_path / "jobs", 1, None, {"gpus_per_node": gpus})
    assert not (tmp_path / "jobs").exists()


def test_jobs_that_slurm_does_not_take(slurm, todo, tmp_path):
    refusal = "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed"
    (slurm.parent / "bin" / "sbatch").write_text(f"#!/bin/sh\nprintf {refusal!r} >&2\nexit 1\n")
    executor = slurm_executor(tmp_path / "jobs", 2, None, {"partition": "nosuch"})
    message = "Slurm does not take the jobs: invalid partition specified: nosuch; Batch job submission failed"
    with pytest.raises(ValueError, match=f"^{message}$"):
        perform_all(executor, todo[:2], Account(todo[:2]))
    assert not (tmp_path / "jobs").exists()


def test_stop_cancels_the_jobs_of_the_queue(slurm, todo, tmp_path):
    (slurm.parent / "bin" / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 12\n")
    cancelled = tmp_path / "cancelled"
    (slurm.parent / "bin" / "scancel").write_text(f"#!/bin/sh\necho $1 >> {cancelled}\n")
    (slurm.parent / "bin" / "scancel").chmod(0o755)
    executor, asked = slurm_executor(tmp_path / "jobs", 2, None, {}), iter([None, 2])
    with pytest.raises(RunStoppedError, match="with 2 runs left"):
        perform_all(executor, todo[:2], Account(todo[:2], stop=lambda: next(asked)))
    assert cancelled.read_text().split() == ["12_0", "12_1"]


def test_preempted_job_goes_back_into_the_queue_as_it_was(todo):
    task = SlurmTask()
    again = task.checkpoint(todo[0])
    assert (again.function, again.args) == (task, (todo[0],))

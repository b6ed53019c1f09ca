import pytest
from freqfast.cli.slurm import parse_slurm

pytest.importorskip("submitit")


def test_parameters():
    assert parse_slurm(["partition=gpu,gpus=1", "time=120, mem=16GB", "exclusive=true"]) == {
        "partition": "gpu", "gpus_per_node": 1, "time": 120, "mem": "16GB", "exclusive": True,
    }  # fmt: skip
    assert parse_slurm(["cpus-per-task=4"]) == parse_slurm(["cpus=4"]) == {"cpus_per_task": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu", "--slurm 'gpu': write KEY=VALUE,KEY=VALUE, such as partition=gpu,gpus=1"),
        ("", "--slurm '': write KEY=VALUE"),
        ("gpus=", "--slurm 'gpus=': write"),
        ("=1", "--slurm '=1': write"),
        ("queue=gpu", "--slurm has no parameter 'queue'; it has account, array_parallelism"),
        ("setup=rm", "--slurm has no parameter 'setup'"),
        ("gpus=1,gpus_per_node=2", "--slurm sets gpus_per_node twice"),
        ("time=2h", "--slurm time must be whole minutes, got '2h'"),
        ("time=0", "--slurm time must be whole minutes, got 0"),
    ],
)
def test_wrong_parameters(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_slurm([text])
    assert "\n" not in str(caught.value)

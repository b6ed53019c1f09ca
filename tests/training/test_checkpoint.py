import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from freqfast.records import record_to_json
from freqfast.training.checkpoint import (
    CheckpointFolder,
    CheckpointHeader,
    CheckpointPolicy,
    Origin,
    pack,
    read_checkpoint,
    unpack,
)
from tests.support.tiny import equal

ORIGIN = Origin(recipe_sha256="a", data_sha256="b", threads=1, precision="float32")


def header(epoch=1, batch=0):
    return CheckpointHeader(origin=ORIGIN, epoch=epoch, batch=batch, seconds=1.5, metrics=("0,0.5",))


def round_trip(value):
    tensors = {}
    return unpack(json.loads(json.dumps(pack(value, tensors))), tensors)


arrays = st.builds(torch.tensor, st.integers(0, 9)) | st.builds(np.array, st.integers(0, 9))
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
# Some names are the same once they are joined by dots.
keys = st.sampled_from(["", "a", "b", "a.b", "0", "a~", "$tensor"]) | st.integers(0, 3)
values = st.recursive(
    arrays | st.none() | st.booleans() | numbers | st.text("ab.~é\n", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(values)
@example({"ema.fast": {"w": torch.zeros(2)}, "ema": {"fast": {"w": torch.ones(2)}}})
def test_values_round_trip(value):
    assert equal(round_trip(value), value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
        torch.randn(6, 4)[::2, 1:3],
        torch.randn(3, 1).expand(3, 4),
        torch.tensor(2.5),
        torch.empty(2, 0, 3, 3).to(memory_format=torch.channels_last),
        torch.randn(3).bfloat16(),
        torch.get_rng_state(),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}{tensor.dtype}",
)
def test_tensors_round_trip_with_their_layout(tensor):
    (found,) = round_trip({"here": [tensor]})["here"]
    assert found.dtype == tensor.dtype
    assert found.stride() == tensor.clone().stride()  # a clone has what is not an artefact of a view
    assert torch.equal(found, tensor)


def test_arrays_numpy_scalars_and_subclasses_of_tensor_round_trip():
    from fastai.torch_core import TensorBase

    array, weight = np.arange(6, dtype=np.float32).reshape(2, 3).T, torch.randn(3)
    found = round_trip({"a": array, "b": np.float64(0.1), "c": np.bool_(True), 5: (1, 2)})
    np.testing.assert_array_equal(found["a"], array, strict=True)
    assert (found["b"], found["c"], found[5]) == (0.1, True, [1, 2])
    found = round_trip([weight, weight[:2], TensorBase(weight), torch.nn.Parameter(weight)])
    assert [type(tensor) for tensor in found] == [torch.Tensor] * 4
    assert torch.equal(found[1], weight[:2])


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j], ids=lambda v: type(v).__name__)
def test_unsupported_value_is_named(value):
    with pytest.raises(
        TypeError, match=rf"^callbacks\.Mine\.0 is a {type(value).__name__}, which a checkpoint cannot hold"
    ):
        pack({"callbacks": {"Mine": [value]}}, {})


@pytest.mark.parametrize("options", [{"epochs": 0}, {"minutes": -1.0}, {"minutes": float("nan")}, {"share": 0.0}])
def test_policy_out_of_range(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"^{name} must be .*, got {value}"):
        CheckpointPolicy(**options)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints")


def test_folder_keeps_the_last_two(folder):
    assert folder.load() is None
    assert not folder.path.exists()
    for step in range(4):
        folder.save(header(step, 10 * step), {"weight": torch.full((2,), float(step))})
    assert [file.name.split(".")[0] for file in folder.files()] == ["000002-00000020", "000003-00000030"]
    for file in folder.files():
        assert hashlib.sha256(file.read_bytes()).hexdigest() in file.name
    found, state = CheckpointFolder(folder.path).load()
    assert found == header(3, 30)
    assert state["weight"].tolist() == [3, 3]
    assert sorted(folder.path.iterdir()) == folder.files()  # nothing temporary


def test_a_corrupt_checkpoint_is_removed_where_the_one_before_can_be_read(folder):
    def save_and_flip_a_bit(number):
        folder.save(header(number), {})
        content = bytearray(folder.files()[-1].read_bytes())
        content[len(content) // 2] ^= 4
        folder.files()[-1].write_bytes(content)

    folder.save(header(0), {})
    save_and_flip_a_bit(1)
    warning = r"000001-\S+ is corrupt \(its SHA-256 .*going on from the one before, 000000-"
    with pytest.warns(UserWarning, match=warning):
        assert CheckpointFolder(folder.path).load() == (header(0), {})
    assert [file.name[:6] for file in folder.files()] == ["000000"]
    save_and_flip_a_bit(2)
    save_and_flip_a_bit(3)
    with pytest.raises(ValueError, match=r"^no checkpoint in \S+ can be read \(.* is corrupt .*\); .* begin this run"):
        folder.load()
    assert len(folder.files()) == 2


# Files whose hash is right and whose content is hostile


def forge(folder, content):
    path = folder / f"000001-00000000.{hashlib.sha256(content).hexdigest()}.safetensors"
    path.write_bytes(content)
    return path


def packed(state, tensors=None, first=None):
    metadata = {"freqfast": record_to_json(header()) if first is None else json.dumps(first)}
    return save(tensors or {"t": torch.arange(6.0)}, metadata | {"state": json.dumps(state)})


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Payload()), "cannot be read"),
        ((2**40).to_bytes(8, "little") + b"{}", "cannot be read"),
        (save({"t": torch.zeros(1)}), "cannot be read: '__metadata__'"),
        (packed({}, first={"schema": 1, "state": {}}), r"schema 1 is not the one that this version reads \(2\)"),
        (packed({"a": {"$tensor": "absent"}}), "cannot be read: 'absent'"),
        (packed({"a": {"$tensor": "t", "stride": [2**60]}}), "are no strides of a dense tensor"),
    ],
    ids=range(6),
)
def test_forged_checkpoint_is_one_line(tmp_path, content, message):
    path = forge(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 400), damage=st.binary(min_size=1, max_size=16))
def test_random_damage_under_a_right_hash_is_one_line(tmp_path, where, damage):
    content = bytearray(packed({"a": {"$tensor": "t"}, "b": [1, {"c": None}]}))
    content[where : where + len(damage)] = damage
    path = forge(tmp_path, bytes(content))
    try:
        read_checkpoint(path)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017

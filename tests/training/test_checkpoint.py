import hashlib
import json
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from freqfast.training.checkpoint import CheckpointFolder, pack, read_checkpoint, unpack


def round_trip(value):
    tensors = {}
    return unpack(json.loads(json.dumps(pack(value, tensors))), tensors)


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("$tensor"), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
def test_whatever_json_can_say_comes_back(value):
    assert round_trip(value) == value


def test_what_is_no_number_comes_back():
    assert math.isnan(round_trip(float("nan")))
    assert round_trip([float("inf"), -float("inf")]) == [float("inf"), -float("inf")]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
        torch.randn(4, 3, 1, 1).to(memory_format=torch.channels_last),
        torch.randn(3, 4).T,
        torch.randn(6, 4)[::2, 1:3],
        torch.randn(3, 1).expand(3, 4),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.empty(3, 0).T,
        torch.empty(2, 0, 3, 3).to(memory_format=torch.channels_last),
        torch.arange(3),
        torch.tensor([True, False]),
        torch.randn(3).bfloat16(),
        torch.randn(3).double(),
        torch.get_rng_state(),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}{tensor.dtype}",
)
def test_tensors_come_back_with_their_layout(tensor):
    (found,) = round_trip({"here": [tensor]})["here"]
    assert found.dtype == tensor.dtype
    assert found.stride() == tensor.clone().stride()  # a clone has what is not an artefact of a view
    assert torch.equal(found, tensor)


def test_shared_tensors_and_subclasses():
    from fastai.torch_core import TensorBase

    weight = torch.randn(3)
    found = round_trip([weight, weight[:2], TensorBase(weight), torch.nn.Parameter(weight)])
    assert [type(tensor) for tensor in found] == [torch.Tensor] * 4
    assert torch.equal(found[1], weight[:2])


def test_arrays_and_numpy_scalars():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    found = round_trip({"a": array, "b": np.float64(0.1), "c": np.int64(3), "d": np.bool_(True), 5: (1, 2)})
    assert isinstance(found["a"], np.ndarray)
    np.testing.assert_array_equal(found["a"], array)
    assert (found["b"], found["c"], found["d"], found[5]) == (0.1, 3, True, [1, 2])


clashing = st.sampled_from(["a", "b", "a.b", "0", "a~"])
nested = st.recursive(
    st.builds(torch.tensor, st.integers(0, 9)) | st.builds(np.array, st.integers(0, 9)),
    lambda inner: st.dictionaries(clashing, inner, min_size=1, max_size=4) | st.lists(inner, min_size=1, max_size=2),
    max_leaves=12,
)


@given(st.dictionaries(clashing, nested, max_size=4))
@example({"ema.fast": {"w": torch.zeros(2)}, "ema": {"fast": {"w": torch.ones(2)}}})
def test_names_that_coincide_keep_their_values_apart(state):
    assert same(round_trip(state), state)


def same(found, value):
    if isinstance(value, dict):
        return found.keys() == value.keys() and all(same(found[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(found) == len(value) and all(map(same, found, value))
    return type(found) is type(value) and found.tolist() == value.tolist()


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, lambda: 0, 1j, torch.nn.Linear(1, 1)], ids=lambda v: type(v).__name__
)
def test_what_cannot_be_held_is_named(value):
    with pytest.raises(
        TypeError, match=rf"^callbacks\.Mine\.0 is a {type(value).__name__}, which a checkpoint cannot hold"
    ):
        pack({"callbacks": {"Mine": [value]}}, {})


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints")


def states(folder):
    return [file.name.split(".")[0] for file in folder.files()]


def test_folder(folder):
    assert folder.load() is None
    assert not folder.path.exists()
    for step in range(4):
        path = folder.save(step, 10 * step, {"step": step, "weight": torch.full((2,), float(step))})
        assert hashlib.sha256(path.read_bytes()).hexdigest() in path.name
    assert states(folder) == ["000002-00000020", "000003-00000030"]
    found = CheckpointFolder(folder.path).load()
    assert found["step"] == 3
    assert found["weight"].tolist() == [3, 3]
    assert sorted(folder.path.iterdir()) == folder.files()  # nothing temporary


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [flip, lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c + b"x"]
)
def test_damage_falls_back_and_is_told(folder, damage):
    for step in range(2):
        folder.save(step, 0, {"step": step})
    last = folder.files()[-1]
    last.write_bytes(damage(last.read_bytes()))
    again = CheckpointFolder(folder.path)
    with pytest.warns(
        UserWarning, match=r"000001-\S+ is damaged \(its SHA-256 .*going on from the one before, 000000-"
    ):
        assert again.load() == {"step": 0}
    again.save(1, 0, {"step": 1, "again": True})
    assert len(folder.files()) == 2  # the damaged one made room, not the sound one
    assert last not in folder.files()
    assert CheckpointFolder(folder.path).load() == {"step": 1, "again": True}


def test_all_damaged_is_one_line(folder):
    for step in range(2):
        folder.save(step, 0, {"step": step})
    for file in folder.files():
        file.write_bytes(flip(file.read_bytes()))
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ValueError, match=r"^all checkpoints in \S+ are damaged .* begin this run"),
    ):
        CheckpointFolder(folder.path).load()


def test_a_save_that_fails_leaves_the_earlier_ones(folder, monkeypatch):
    folder.save(0, 0, {"step": 0})
    before = folder.files()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("freqfast.files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        folder.save(1, 0, {"step": 1})
    assert sorted(folder.path.iterdir()) == before


# Files whose hash is right and whose content is hostile


def forge(folder, content):
    path = folder / f"000001-00000000.{hashlib.sha256(content).hexdigest()}.safetensors"
    path.write_bytes(content)
    return path


def packed(state, tensors=None, schema=1):
    return save(tensors or {"t": torch.arange(6.0)}, {"freqfast": json.dumps({"schema": schema, "state": state})})


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (pickle.dumps(Payload()), "cannot be read"),
        (b"\xff" * 64, "cannot be read"),
        ((2**40).to_bytes(8, "little") + b"{}", "cannot be read"),
        (save({"t": torch.zeros(1)}), "cannot be read: '__metadata__'"),
        (save({"t": torch.zeros(1)}, {"freqfast": "[" * 100_000}), "cannot be read"),
        (packed({}, schema=2), "schema 2 is newer than this version reads"),
        (packed([1]), "holds no dictionary"),
        (packed({"a": {"$tensor": "absent"}}), "cannot be read: 'absent'"),
        (packed({"a": {"$tensor": "t", "stride": [2**60]}}), "are no strides of a dense tensor"),
        (packed({"a": {"$tensor": "t", "stride": [2, 2]}}, {"t": torch.zeros(3, 3)}), "are no strides of a dense"),
        (packed({"a": {"$tensor": "t", "stride": [1, 1]}}), "cannot be read"),
        (packed({"a": {"$tensor": "t", "stride": "x"}}), "cannot be read"),
        (packed({"a": {"$items": 3}}), "cannot be read"),
        (packed({"a": {"$items": [[[1], 2]]}}), "cannot be read"),
    ],
)
def test_forged_checkpoints_are_one_line(tmp_path, content, message):
    path = forge(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 400), damage=st.binary(min_size=1, max_size=16))
def test_damage_that_is_signed_is_an_error_or_harmless(tmp_path, where, damage):
    content = bytearray(packed({"a": {"$tensor": "t"}, "b": [1, {"c": None}]}))
    content[where : where + len(damage)] = damage
    path = forge(tmp_path, bytes(content))
    try:
        assert isinstance(read_checkpoint(path), dict)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017

import pytest
import torch

from freqfast.compute import precision
from freqfast.compute.precision import cpu_has_amx, default_device, resolve_device, resolve_precision


def test_a_given_precision_is_taken_and_an_unknown_one_refused(monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    assert resolve_precision("bfloat16", "cuda") == "bfloat16"
    assert resolve_precision("float32", torch.device("cpu")) == "float32"
    with pytest.raises(ValueError, match="auto, bfloat16, float32, got 'bf16'"):
        resolve_precision("bf16", "cpu")


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_on_a_cpu_follows_its_instructions(monkeypatch, native, expected):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: native)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("auto", torch.device("cpu", 0)) == expected
    assert resolve_precision("auto", "mps") == "float32"


def test_auto_on_cuda_follows_the_generation_of_the_gpu(monkeypatch):
    capability = {"cuda:0": (7, 5), "cuda:1": (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability[str(device or "cuda:0")])
    assert resolve_precision("auto", "cuda:0") == "float32"
    assert resolve_precision("auto", torch.device("cuda:1")) == "bfloat16"


NATIVE = [({}, False, False), ({"avx512_bf16": True, "amx_bf16": False}, True, False), ({"amx_bf16": True}, True, True)]


@pytest.mark.parametrize(("found", "bfloat16", "amx"), [*NATIVE, ({"avx2": True, "bf16": True}, True, False)])
def test_what_a_cpu_has_natively(monkeypatch, found, bfloat16, amx):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert (precision._cpu_has_bfloat16(), cpu_has_amx()) == (bfloat16, amx)


@pytest.mark.parametrize(("found", "bfloat16", "amx"), NATIVE)
def test_what_a_cpu_has_natively_in_older_torch(monkeypatch, found, bfloat16, amx):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name, check in (("avx512_bf16", "_is_avx512_bf16_supported"), ("amx_bf16", "_is_amx_tile_supported")):
        monkeypatch.setattr(torch.cpu, check, lambda name=name: found.get(name, False), raising=False)
    assert (precision._cpu_has_bfloat16(), cpu_has_amx()) == (bfloat16, amx)


def test_this_cpu_as_the_kernel_describes_it():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = set(file.read().split())
    except OSError:
        pytest.skip("no /proc/cpuinfo here")
    if "flags" not in flags:
        pytest.skip("no x86")
    assert precision._cpu_has_bfloat16() == bool(flags & {"avx512_bf16", "amx_bf16"})
    assert cpu_has_amx() == ("amx_bf16" in flags)


@pytest.mark.parametrize("name", ["cuda:99", "meta", "mps:7"])
def test_unavailable_devices_are_refused_on_one_line(name):
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ValueError, match=f"device '{name}' is not available here: .* \\(available: cpu") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_of_a_long_message_about_a_device_the_beginning_is_told(monkeypatch):
    def zeros(*args, **kwargs):
        raise RuntimeError(f"CUDA error: {'busy ' * 100}\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(ValueError, match="'cuda:0' is not available here: CUDA error: busy") as caught:
        resolve_device("cuda:0")
    assert len(str(caught.value)) < 300
    assert "kernel" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x"])
def test_unknown_devices_are_refused_with_those_that_are_available(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match=f"device '{name}' is not available here: devices are") as caught:
        resolve_device(name)
    assert str(caught.value).endswith("devices are cpu, cuda, cuda:N and mps (available: cpu, cuda:0, cuda:1, mps)")


@pytest.mark.parametrize(("found", "expected"), [(True, "cuda"), (False, "cpu")])
def test_default_device_is_a_gpu_if_there_is_one(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert default_device() == torch.device(expected)

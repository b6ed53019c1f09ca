import platform
import subprocess
import sys

import pytest
import torch

from freqfast.compute.memory import keep_freed_memory, memory_error

# Trains a little network with activations of 2 MB, before and after it; prints page faults of the last steps.
TRAINING = """
import resource, torch
from freqfast.compute.memory import keep_freed_memory

def train():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3))
    images = torch.randn(32, 3, 32, 32)
    for step in range(6):
        if step == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model(images).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return torch.cat([parameter.flatten() for parameter in model.parameters()])

torch.set_num_threads(1)
weights = train()
assert keep_freed_memory()
assert torch.equal(train(), weights)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_training_faults_in_no_pages_and_gives_the_same_weights():
    done = subprocess.run([sys.executable, "-c", TRAINING], stdout=subprocess.PIPE, text=True, check=True)
    faults, faults_kept = map(int, done.stdout.split())
    if not faults:
        pytest.skip("this system counts no page faults")
    assert faults_kept < 0.5 * faults  # the system may take pages back meanwhile


@pytest.mark.parametrize("cdll", [lambda name: object(), lambda name: 1 + None])
def test_without_glibc_nothing_happens(monkeypatch, cdll):
    monkeypatch.setattr("ctypes.CDLL", cdll)
    assert keep_freed_memory() is False


def after(reason, error):
    """An exception as it is when it is raised while another is handled."""
    error.__context__ = reason
    return error


def test_a_lack_of_memory_is_recognised_by_kind_message_and_cause():
    lack = RuntimeError("DefaultCPUAllocator: can't allocate memory:\n you tried")
    assert memory_error(MemoryError()) == "MemoryError"
    assert memory_error(lack) == "DefaultCPUAllocator: can't allocate memory: you tried"
    cublas = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    assert memory_error(RuntimeError(cublas)) == cublas
    assert memory_error(torch.OutOfMemoryError("CUDA out of memory")) == "CUDA out of memory"
    assert memory_error(after(MemoryError("of it"), ValueError("x.png cannot be read"))) == "of it"
    assert memory_error(after(after(MemoryError("of it"), KeyError(1)), OSError(5, "x"))) == "of it"
    about_files = [kind("out of memory.png") for kind in (ValueError, OSError, ImportError)]
    for other in (*about_files, RuntimeError("stop"), None):
        assert memory_error(other) is None

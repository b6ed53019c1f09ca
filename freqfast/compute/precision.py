"""Which devices are available, and which precision is faster on each."""

import torch

PRECISIONS = ("auto", "bfloat16", "float32")


def default_device() -> torch.device:
    """A CUDA GPU if there is one, else the CPU.

    Never Apple's GPU, where BatchNorm of channels-last images can fail or give wrong gradients up to torch 2.13
    (PyTorch's issues 134580 and 175189).
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_device(device: torch.device | str) -> torch.device:
    """A device by its name, such as "cpu", "cuda:0" or "mps"; a ValueError if it is not available."""
    try:
        found = torch.device(device)
    except RuntimeError:  # its message lists every kind of device that torch can be built for
        raise _not_here(device, "devices are cpu, cuda, cuda:N and mps") from None
    try:
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without CUDA
        raise _not_here(device, str(error).strip().partition("\n")[0]) from None
    return found


def _not_here(device: torch.device | str, reason: str) -> ValueError:
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    here += ["mps"] if torch.backends.mps.is_available() else []
    return ValueError(f"device {str(device)!r} is not available here: {reason:.200} (available: {', '.join(here)})")


def resolve_precision(precision: str, device: torch.device | str) -> str:
    """Decide between "bfloat16" and "float32"; a ValueError if the precision is none of these and not "auto".

    "auto" is bfloat16 where the device computes it natively (AVX512-BF16, AMX or Arm's BF16 on a CPU, Ampere or newer
    on CUDA), else float32.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    on_cuda = kind == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    on_cpu = kind == "cpu" and _cpu_has_bfloat16()
    return "bfloat16" if on_cuda or on_cpu else "float32"


def cpu_has_amx() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 by AMX (Intel, from Sapphire Rapids on).

    Examples:
        >>> cpu_has_amx() in (True, False)
        True
    """
    return _cpu_has("amx_bf16")


def _cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; emulation is slower than float32."""
    return _cpu_has("amx_bf16", "avx512_bf16", "bf16")


_OLDER_CHECKS = {"amx_bf16": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}


def _cpu_has(*instructions: str) -> bool:
    """Whether this CPU has any of these instructions."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in instructions)
    checks = (getattr(torch.cpu, _OLDER_CHECKS.get(name, ""), None) for name in instructions)
    return any(check() for check in checks if check)

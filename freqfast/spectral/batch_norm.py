"""BatchNorm's running statistics, estimated anew once a network is trained."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def estimate_batch_norm(model: nn.Module, batches: Iterable[Tensor | tuple[Tensor, ...]]) -> nn.Module:
    """Replace the running statistics of a model's BatchNorm layers by their plain means over batches, in place.

    Unlike in `torch.optim.swa_utils.update_bn`, all layers but BatchNorm run as in eval mode: modulation without noise,
    equalizers with a fixed reference, no dropout.

    Args:
        model: Any model; its mode, momenta and parameters do not change.
        batches: Images ``(N, C, H, W)`` as the model takes them, on its device, or its inputs as a tuple; all batches
            have equal weight.

    Returns:
        The same model. Layers that do not run in eval mode, as those of auxiliary heads, keep their statistics.

    Raises:
        ValueError: If there are no batches. After any exception the model is as it was before.

    Examples:
        >>> norm, images = nn.BatchNorm2d(1), torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
        >>> estimate_batch_norm(norm, [images]).running_mean
        tensor([3.])
    """
    inputs = (batch if isinstance(batch, tuple) else (batch,) for batch in batches)
    if (first := next(inputs, None)) is None:
        raise ValueError("batches is empty, so BatchNorm's statistics cannot be estimated; pass at least one")
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    modes = [(module, module.training) for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    statistics = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    done = False
    try:
        model(*first)
        for batch in inputs:
            model(*batch)
        done = True
    finally:
        for norm, momentum, buffers in zip(norms, momenta, statistics, strict=True):
            norm.momentum = momentum
            if not (done and norm.num_batches_tracked):
                norm.load_state_dict(buffers, strict=False)
        for module, training in modes:
            module.training = training
    return model

"""Stages of a network: the modules whose outputs are feature maps, and these maps whatever their layout."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

Grid: TypeAlias = tuple[int, int]
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def find_stages(model: nn.Module, images: Tensor) -> dict[str, tuple[Grid, int]]:
    """The stages of a network, in the order of its definition: the outermost modules that give maps, block by block.

    A stage has a convolution or a linear layer, and its output is a map of 2x2 values or more. A module that holds a
    chain of blocks, as an encoder does, gives a stage for each block. Tokens are on the grid of the last convolution
    that ran before them, and those in front of the grid, such as a class token, are none of it.

    Args:
        model: The network, in eval mode.
        images: What it takes, float ``(n, C, H, W)``.

    Returns:
        By the stage's name, the rows and columns of its maps, and the number of tokens in front of the grid.

    Raises:
        ValueError: If no module is a stage.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> find_stages(model, torch.zeros(2, 3, 8, 8))
        {'0': ((6, 6), 0)}
    """
    found: dict[nn.Module, tuple[Grid, int]] = {}
    aspect = math.log(images.shape[2] / images.shape[3])
    last: list[Grid] = []

    def look(module: nn.Module, _: Any, output: Any) -> None:
        values = _tensor(output)
        if values is None or len(values) != len(images) or not values.is_floating_point():
            return
        if values.ndim == 4:
            inner, outer = ((rows, columns) for rows, columns in (values.shape[2:], values.shape[1:3]))
            grid = min(inner, outer, key=lambda grid: abs(math.log(grid[0] / grid[1]) - aspect))
            if min(grid) > 1:
                found[module] = grid, 0
            if isinstance(module, nn.Conv2d):
                last[:] = [grid]
        elif values.ndim == 3 and last and 1 < math.prod(last[0]) <= values.shape[1]:
            found[module] = last[0], values.shape[1] - math.prod(last[0])

    hooks = [module.register_forward_hook(look) for module in model.modules()]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    names = {module: name for name, module in model.named_modules()}
    stages = {names[module]: found[module] for module in _outermost(model, found) if names[module]}
    if not stages:
        raise ValueError("no convolution or linear layer of the network gives maps of 2x2 values or more")
    return stages


def _outermost(module: nn.Module, found: Mapping[nn.Module, Any]) -> list[nn.Module]:
    """The outermost modules that are stages, in the order of the network's definition."""
    whole = module in found and not isinstance(module, _CONTAINERS) and not _has_chain(module, found)
    if whole and any(isinstance(inner, (nn.Conv2d, nn.Linear)) for inner in module.modules()):
        return [module]
    return [stage for child in module.children() for stage in _outermost(child, found)]


def _has_chain(module: nn.Module, found: Mapping[nn.Module, Any]) -> bool:
    """Whether a module holds a chain of blocks, as an encoder does: two or more of one class, none of torch.nn's."""
    for container in (child for child in module.children() if isinstance(child, _CONTAINERS)):
        kinds = [type(block) for block in container.children() if block in found]
        own = [
            kind for kind in kinds if not kind.__module__.startswith("torch.nn") and not issubclass(kind, _CONTAINERS)
        ]
        if len(set(own)) < len(own):
            return True
    return False


def _tensor(output: Any) -> Tensor | None:
    """What a module gives, the first part of a tuple."""
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return first if isinstance(first, Tensor) else None


def as_maps(output: Any, grid: Grid) -> Tensor:
    """Feature maps ``(n, C, H, W)``, float32, of a stage's output: maps, maps with their channels last, or tokens.

    Raises:
        ValueError: If the output is not of this grid, as where a module runs on maps of several sizes.
    """
    values = _tensor(output)
    if values is not None and values.ndim == 3 and values.shape[1] >= math.prod(grid):
        return values[:, -math.prod(grid) :].unflatten(1, grid).permute(0, 3, 1, 2).float()
    if values is not None and values.ndim == 4 and grid in (values.shape[2:], values.shape[1:3]):
        return (values if values.shape[2:] == grid else values.permute(0, 3, 1, 2)).float()
    shape = None if values is None else tuple(values.shape)
    raise ValueError(f"a stage gives an output of shape {shape} that is not of its grid {grid[0]}x{grid[1]}")

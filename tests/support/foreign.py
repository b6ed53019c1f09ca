"""A network as others publish it: a script, and a checkpoint in the layout of years ago."""

import sys
from collections import OrderedDict

import torch

SCRIPT = '''
"""A network in a script of its own, with a module beside it."""
from dataclasses import dataclass

import torch.nn as nn

from parts_beside import pooled


@dataclass
class Shape:
    width: int


class Net(nn.Module):
    def __init__(self, width=4, num_classes=10):
        super().__init__()
        self.shape = Shape(width)
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.linear(pooled(self.bn1(self.conv1(x)).relu()))


def net(width=4, **options):
    import lazily_beside
    return Net(width, **options)


trained = Net()
'''


def write_script(folder, name="foreign_net.py"):
    """Write the script and what it imports; gives its path."""
    (folder / name).write_text(SCRIPT)
    (folder / "parts_beside.py").write_text("def pooled(maps):\n    return maps.mean((2, 3))\n")
    (folder / "lazily_beside.py").write_text("")
    for module in (name.removesuffix(".py"), "parts_beside", "lazily_beside"):
        sys.modules.pop(module, None)
    return folder / name


def write_checkpoint(path, model):
    """Save weights as a script of 2019 did: DataParallel, PyTorch's old format, BatchNorm without its counter."""
    state = OrderedDict(
        (f"module.{name}", value) for name, value in model.state_dict().items() if "num_batches" not in name
    )
    torch.save({"best_prec1": 91.7, "state_dict": state}, path, _use_new_zipfile_serialization=False)
    return path

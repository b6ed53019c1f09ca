"""That a process group ends for all when one rank leaves it, and that one which is up already is used."""

import subprocess
import sys

CODE = """
from freqfast.compute import ranks
from torch import distributed
distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
from torch.distributed.nn import functional
print(functional.all_reduce.__defaults__[-1])
"""


def test_torch_keeps_no_group_in_default_arguments():
    """One kept so would stay open after a rank has left it, and the others would wait for that rank."""
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == "None\n"


UP = """
from torch import distributed
distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
from freqfast.compute.ranks import Ranks
print(Ranks(count=2).total(1.5))  # as if it were of two
"""


def test_a_group_that_a_script_has_made_is_used():
    assert subprocess.check_output([sys.executable, "-c", UP], text=True) == "(1.5,)\n"

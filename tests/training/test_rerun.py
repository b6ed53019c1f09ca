"""What a repeated run is compared by; whole repetitions are in test_resume.py."""

from copy import deepcopy
from types import SimpleNamespace

import torch

from freqfast.training.rerun import ACCURACIES, _compared


def test_runs_are_compared_by_the_weight_that_differs_most():
    """Of a network with an empty buffer; accuracies by what both were measured on."""
    network = torch.nn.BatchNorm2d(2)
    network.register_buffer("unused", torch.empty(0))
    run, other = (
        SimpleNamespace(model=model, report=SimpleNamespace(**dict.fromkeys(ACCURACIES) | accuracy), environment={})
        for model, accuracy in ((network, {"clean": 0.5, "mean15": 0.25}), (deepcopy(network), {"clean": 0.75}))
    )
    other.model.bias.data[1] = 0.25
    for second, *expected in (
        (run, True, 0.0, {"clean": (0.5, 0.5), "mean15": (0.25, 0.25)}),
        (other, False, 0.25, {"clean": (0.5, 0.75)}),
    ):
        found = _compared(run, second)
        assert [found.weights_equal, found.weights_distance, found.accuracy] == expected

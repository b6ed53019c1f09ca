"""Models with our layers under torch.compile: what depends on sizes alone is a constant there."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from freqfast.spectral.antialiasing import apply_antialiasing, ideal_low_pass, low_pass
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.perturbation import perturb_spectrum

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's compiler
CHANGES = [
    partial(apply_antialiasing, layers=["2", "3"]),
    partial(apply_antialiasing, kind="flc"),
    apply_equalization,
    apply_modulation,
]


@pytest.fixture(autouse=True)
def _reset_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def graphs():
    """The graphs that `compiled` has made so far."""
    return []


@pytest.fixture
def compiled(graphs):
    """Compiles a model to graphs that run as they are."""

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    return lambda model, **options: torch.compile(model, backend=keep, **options)


def small_model(change):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.MaxPool2d(2))
    return change(model)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_one_graph_whose_operators_are_those_of_the_forward_pass(change, training, compiled, graphs):
    model, images = small_model(change).train(training), torch.randn(2, 3, 16, 16)
    if change is apply_modulation:
        model[0].sigma = 0.0 if training else 0.5
    once = model(images)
    if not training:
        torch.testing.assert_close(compiled(model, fullgraph=True)(images), once)
    else:
        compiled(model, fullgraph=True)(images).sum().backward()
    (graph,) = graphs
    made = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert not any(word in name for name in made for word in ("arange", "fftfreq", "hypot", "outer", "tensor", "numpy"))


@pytest.mark.skipif(
    torch.__version__ < "2.10",
    reason="before torch 2.10 the graph after a split is made anew with each tensor it takes",
)
def test_perturbed_gains_split_the_graph_but_compile_no_more_later(compiled, graphs):
    model, images = small_model(lambda model: apply_modulation(model, sigma=0.5, seed=0)), torch.randn(2, 3, 16, 16)
    step = compiled(model.train())
    first = step(images)
    count = len(graphs)
    assert not torch.equal(step(images), first)
    for _ in range(10):
        step(images)
    assert len(graphs) == count
    assert model[0].draws == 12


class Recorded(TorchDispatchMode):
    """Notes the operators that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        self.names.append(operator.overloadpacket.__name__)
        return operator(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    "forward",
    [
        partial(low_pass, stride=(2, 2)),
        partial(ideal_low_pass, stride=(2, 2)),
        SpectrumEqualizer(),
        SpectralConv2d(3, 4, 3),
        perturb_spectrum,
    ],
)
def test_a_second_pass_makes_no_tensor_out_of_numbers(forward):
    """Each would be a copy from the host, which a GPU waits for."""
    images = torch.rand(2, 3, 16, 16)
    forward(images)
    with Recorded() as recorded:
        forward(images)
    assert recorded.names
    assert not {"lift_fresh", "arange", "linspace", "scalar_tensor"} & set(recorded.names)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_effect_in_a_model_that_is_compiled_already(change, compiled):
    model, images = small_model(lambda model: model), torch.randn(8, 3, 16, 16)
    fast = compiled(model)
    fast(images)
    change(model)
    fast(images)  # of the equalizer the first batch: the next ones differ from it
    if change is apply_modulation:
        model[0].log_gain.data.normal_()
    model.eval()
    other = 3 * torch.randn(8, 3, 16, 16).cumsum(-1)
    torch.testing.assert_close(fast(other), model(other))

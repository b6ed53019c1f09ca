import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from freqfast.spectral.batch_norm import estimate_batch_norm
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import apply_modulation


@pytest.fixture
def network():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, momentum=0.3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def batches():
    return [torch.randn(size, 3, 8, 8) + size for size in (6, 4, 4)]


def statistics(model):
    return {key: value.clone() for key, value in model.state_dict().items() if "running" in key or "tracked" in key}


def test_statistics_are_those_of_torch_where_nothing_else_differs_in_training(network, batches):
    network[3].p = 0.0
    estimate_batch_norm(network, iter(batches))
    found = statistics(network)
    update_bn(batches, network)
    assert all(torch.equal(value, found[key]) for key, value in statistics(network).items())
    outputs = [network[0](batch).transpose(0, 1).flatten(1) for batch in batches]
    expected = torch.stack([output.var(1) for output in outputs]).mean(0)
    torch.testing.assert_close(found["1.running_var"], expected)


def test_all_but_batch_norm_is_as_in_use_and_stays(network, batches):
    apply_equalization(apply_modulation(network, sigma=1.0, seed=0))
    network(batches[0])  # has references and statistics from here on
    network[4].eval()
    draws, parameters = network[0].draws, [p.detach().clone() for p in network.parameters()]
    reference, modes = network[0].equalizer_reference.clone(), [module.training for module in network.modules()]
    with_gradient = []
    handle = network.register_forward_hook(lambda module, inputs, output: with_gradient.append(output.requires_grad))
    estimate_batch_norm(network, batches)
    handle.remove()
    assert with_gradient == [False] * 3
    assert network[0].draws == draws
    assert torch.equal(network[0].equalizer_reference, reference)
    assert all(map(torch.equal, network.parameters(), parameters))
    assert [module.training for module in network.modules()] == modes
    assert (network[1].momentum, network[1].num_batches_tracked) == (0.3, 3)
    network.eval()
    means = torch.stack([network[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(network[1].running_mean, means)


def test_layers_that_do_not_run_in_use_keep_their_statistics(batches):
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.head = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, images):
            return self.main(images) + (self.head(images) if self.training else 0)

    model = Auxiliary()
    model(batches[0])
    before = statistics(model)
    after = statistics(estimate_batch_norm(model, batches[1:]))
    for key, value in after.items():
        assert torch.equal(value, before[key]) == key.startswith("head")


def test_an_error_and_an_interrupt_leave_all_as_it_was(network, batches):
    network(batches[0])
    before = statistics(network)
    with pytest.raises(ValueError, match=r"batches is empty, .*pass at least one"):
        estimate_batch_norm(network, iter([]))
    with pytest.raises(RuntimeError, match="channels"):
        estimate_batch_norm(network, [batches[1], batches[0][:, :2]])

    def interrupted():
        yield batches[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_batch_norm(network, interrupted())
    assert all(module.training for module in network.modules())
    assert network[1].momentum == 0.3
    assert all(torch.equal(value, before[key]) for key, value in statistics(network).items())

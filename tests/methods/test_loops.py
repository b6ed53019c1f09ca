"""Methods in training loops of all kinds: what would go wrong without a word."""

import copy

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy

from freqfast import apply_modulation
from freqfast.methods import (
    Antialiasing,
    AugMix,
    FourierBasisAugmentation,
    FrequencyProportion,
    GaussianNoise,
    Methods,
    SpectralDecay,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
)
from freqfast.spectral.bands import band_shares
from freqfast.spectral.modulation import effective_weight

ALL_LOW = {"low": 1.0}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, 3)
    )


def batches(count=3):
    generator = torch.Generator().manual_seed(1)
    draw = lambda: (torch.rand(8, 3, 8, 8, generator=generator), torch.randint(3, (8,), generator=generator))  # noqa: E731
    return [draw() for _ in range(count)]


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(model, methods, optimizer, count=3, after_step=lambda: None):
    methods.start()
    for images, labels in batches(count):
        loss = methods.loss(cross_entropy, model(methods.images(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        methods.step()
        after_step()


def purity(model):
    return float(band_shares(effective_weight(model[0]))[:, 0].min())


@pytest.fixture
def group(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("fused", [False, True])
def test_gains_join_an_optimizer_that_exists_or_are_missed(fused):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    with pytest.raises(ValueError, match="the optimizer has no gains of SpectralModulation; make it after"):
        train(model, Methods(model, [SpectralModulation(), FrequencyProportion(ALL_LOW)]), optimizer)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    later = torch.optim.AdamW(apply_modulation(network()).parameters())
    train(model, Methods(model, [SpectralModulation(), FrequencyProportion(ALL_LOW)], optimizer=optimizer), optimizer)
    assert model[0].log_gain.any()
    assert [tuple(p.shape) for p in optimizer.param_groups[0]["params"]] == [
        tuple(p.shape) for p in later.param_groups[0]["params"]
    ]


def test_gains_are_not_missed_before_the_first_step_or_where_they_are_frozen():
    model = network()
    methods = Methods(model, [SpectralModulation(), FrequencyProportion(ALL_LOW)])
    methods.start()
    methods.loss(cross_entropy, model(batches(1)[0][0]), batches(1)[0][1]).backward()
    methods.step()  # the optimizer's was skipped, as under a gradient scaler
    model[0].log_gain.requires_grad_(False)
    model.zero_grad()
    train(model, methods, torch.optim.SGD([model[0].weight, *model[4].parameters()], lr=0.1))


@pytest.mark.parametrize("method", [SpectralModulation, SpectrumEqualization, lambda: FrequencyProportion(ALL_LOW)])
def test_models_that_are_wrapped_already_are_refused(method, group):
    wrapped = nn.parallel.DistributedDataParallel(network())
    with pytest.raises(ValueError, match=r"in DistributedDataParallel already.*; attach before wrapping"):
        Methods(wrapped, [method()])
    sharded = fully_shard(network(), mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ValueError, match=r"in FullyShardedDataParallel already.*; attach before wrapping"):
        Methods(sharded, [method()])
    with pytest.raises(ValueError, match="attach before wrapping"):
        apply_modulation(wrapped)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("modulated", [False, True])
def test_weights_in_shards_keep_their_purity(modulated, group):
    model, whole = network(), network()
    for each in (model, whole):
        made = [SpectralModulation(seed=0)] if modulated else []
        methods = Methods(each, [*made, FrequencyProportion(ALL_LOW), SpectralDecay(0.1)])
        if each is model:
            fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        train(each, methods, sgd(each))
        assert purity(each) > 0.899
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name].full_tensor(), value, msg=name)


def test_averages_that_begin_after_attaching_keep_the_purity():
    model = network()
    methods = Methods(model, [FrequencyProportion(ALL_LOW)])
    assert purity(model) > 0.899
    average = ModelEmaV3(model, decay=0.99)
    train(model, methods, sgd(model), 30, lambda: average.update(model))
    assert purity(average.module) > 0.89


def test_a_loop_that_goes_on_from_its_state_equals_one_that_never_stopped():
    made = lambda: [SpectralModulation(seed=3), FrequencyProportion({"low": 0.5, "high": 0.5}), GaussianNoise()]  # noqa: E731
    first, rest = network(), network()
    methods, optimizer = Methods(first, made()), sgd(first)
    torch.manual_seed(0)
    train(first, methods, optimizer)
    saved = copy.deepcopy([first.state_dict(), optimizer.state_dict(), methods.state_dict(), torch.get_rng_state()])
    assert saved[2]["0.SpectralModulation"] == {"seed": 3, "draws": 3}
    train(first, methods, optimizer)
    methods, optimizer = Methods(rest, made()), sgd(rest)
    with pytest.raises(ValueError, match=r"the state is of no method; here are 0.SpectralModulation, 1\."):
        methods.load_state_dict({})
    for each, state in zip((rest, optimizer, methods), saved, strict=False):
        each.load_state_dict(state)
    torch.set_rng_state(saved[3])
    train(rest, methods, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), rest.state_dict().values(), strict=True))


def test_the_reference_is_not_kept_in_bfloat16():
    references = []
    for half in (False, True):
        model = network()
        methods = Methods(model, [SpectrumEqualization(bins=1)])
        model.to(torch.bfloat16 if half else torch.float32)
        for _ in range(400):
            model(0.5 + 0.1 * torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(model[0].weight))
        for _ in range(100):
            model(0.5 + 0.2 * torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(model[0].weight))
        references.append(float(model[0].equalizer_reference))
    assert references[0] == pytest.approx(references[1], abs=0.02)
    assert model[0].equalizer_reference.dtype == torch.float32
    assert methods.images(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


def test_in_eval_mode_nothing_changes():
    model, (images, labels) = network(), batches(1)[0]
    methods = Methods(model, [SpectralDecay(9.0), AugMix(jsd=1.0), SpectrumPerturbation(), Antialiasing()])
    model.eval()
    assert methods.images(images) is images
    assert torch.equal(methods.loss(cross_entropy, model(images), labels), cross_entropy(model(images), labels))
    model.train()
    assert len(methods.images(images)) == 24


def test_detaching_ends_what_belongs_to_training_alone():
    model = network()
    methods = Methods(model, [SpectralModulation(sigma=1.0), Antialiasing()])
    keys = model.state_dict().keys()
    methods.detach()
    assert (model[0].sigma, model.state_dict().keys()) == (0.0, keys)


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ([GaussianNoise(), GaussianNoise()], {}, "two methods are GaussianNoise"),
        ([AugMix(jsd=1.0), FourierBasisAugmentation()], {}, "AugMix and FourierBasisAugmentation both add views"),
        ([], {"mean": [0.5]}, "mean and std go together"),
    ],
)
def test_what_does_not_go_together_is_refused(methods, options, message):
    with pytest.raises(ValueError, match=message):
        Methods(network(), methods, **options)


def test_images_of_another_range_are_refused_once_training_starts():
    model = network()
    methods = Methods(model, [SpectrumPerturbation()], mean=[0.5], std=[0.25])
    with pytest.raises(ValueError, match=r"pixels run from .* instead of 0 to 1"):
        methods.images(255 * batches(1)[0][0])

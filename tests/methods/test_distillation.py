"""Distillation: against KL by another library, and what the teacher sees."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn
from torch.nn.functional import cross_entropy

from freqfast.methods import AmplitudePhaseRecombination, Antialiasing, Distillation, GaussianNoise, Methods
from freqfast.methods.distillation import distillation_loss


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=3), nn.Flatten(), nn.Linear(16, 5)
    )


IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def seen_by(module):
    """Whatever a module is called with from now on."""
    calls = []
    module.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].clone()))
    return calls


@pytest.mark.parametrize("temperature", [0.5, 1, 4])
def test_the_loss_is_the_divergence_of_softened_predictions(temperature):
    rng = np.random.default_rng(0)
    outputs, teacher = 3 * rng.normal(size=(2, 7, 5))
    p, q = (softmax(x / temperature, axis=1) for x in (teacher, outputs))
    expected = rel_entr(p, q).sum(1).mean() * temperature**2
    loss = distillation_loss(torch.tensor(outputs), torch.tensor(teacher), temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def test_half_types_and_maps_of_classes():
    outputs, teacher = torch.randn(2, 3, 5, 4, 4)
    expected = torch.stack(
        [distillation_loss(o, t) for o, t in zip(outputs.unbind(3), teacher.unbind(3), strict=True)]
    ).mean()
    torch.testing.assert_close(distillation_loss(outputs, teacher), expected)
    assert distillation_loss(outputs.bfloat16(), teacher.bfloat16()).dtype == torch.float32


def test_the_teacher_sees_the_unchanged_batch_and_the_network_what_is_made_of_it():
    teacher = network(1)
    calls, state = seen_by(teacher), copy.deepcopy(teacher.state_dict())
    model = network()
    methods = Methods(model, [GaussianNoise(share=1.0), Distillation(teacher)])
    methods.start()
    changed = methods.images(IMAGES)
    loss = methods.loss(None, model(changed), None)
    loss.backward()
    assert torch.equal(calls[0], IMAGES)
    assert not torch.equal(changed, IMAGES)
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    for name, value in teacher.state_dict().items():  # BatchNorm's statistics among them
        assert torch.equal(value, state[name])
    with torch.no_grad():
        torch.testing.assert_close(loss, distillation_loss(model(changed), teacher(IMAGES)))


def test_by_default_the_network_is_its_own_teacher_as_it_was_at_the_start():
    model = network()
    methods = Methods(model, [Antialiasing(), Distillation()])
    methods.start()
    was = copy.deepcopy(model).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = methods.loss(None, model(methods.images(IMAGES)), None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    methods.start()  # another epoch, or fit: the teacher stays
    kept = methods.state_dict()["1.Distillation"]["teacher"]
    assert all(torch.equal(kept[name], value) for name, value in was.state_dict().items())

    other = network(2)
    others = Methods(other, [Antialiasing(), Distillation()])
    other.load_state_dict(model.state_dict())
    others.load_state_dict(copy.deepcopy(methods.state_dict()))
    others.start()
    losses = [m.loss(None, net(m.images(IMAGES)), None) for m, net in ((methods, model), (others, other))]
    assert torch.equal(*losses)


def test_a_share_of_the_loss_is_the_criterion_of_the_labels():
    model, teacher = network(), network(1)
    methods = [Methods(model, [Distillation(teacher, weight=weight)]) for weight in (0.25, 1.0)]
    mixed, whole = [m.loss(cross_entropy, model(m.images(IMAGES)), LABELS) for m in methods]
    torch.testing.assert_close(mixed, 0.25 * whole + 0.75 * cross_entropy(model(IMAGES), LABELS))


def test_views_are_trained_towards_the_same_outputs():
    model, teacher = network(), network(1)
    methods = Methods(model, [AmplitudePhaseRecombination(), distillation := Distillation(teacher)])
    outputs = model(methods.images(IMAGES))
    own, views = (distillation_loss(part, distillation._outputs) for part in outputs.chunk(2))
    torch.testing.assert_close(methods.loss(cross_entropy, outputs, LABELS), (own + views) / 2)


def test_outputs_with_logits_and_outputs_of_other_classes():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(1)

        def forward(self, images):
            return type("Output", (), {"logits": self.net(images)})()

    model = network()
    methods = Methods(model, [Distillation(Wrapped())])
    assert methods.loss(None, model(methods.images(IMAGES)), None) > 0
    methods = Methods(model, [Distillation(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))])
    with pytest.raises(ValueError, match=r"outputs have the shape \(6, 5\), the teacher's \(6, 3\)"):
        methods.loss(cross_entropy, model(methods.images(IMAGES)), LABELS)

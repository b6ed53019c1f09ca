import copy
from operator import attrgetter

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback, CancelEpochException, CancelFitException
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.vision.data import ImageBlock, MaskBlock

from freqfast.callbacks import BatchNormEstimation, BatchNormFreeze, SpectralModulation


def mean_over(learn):
    """The mean of what the BatchNorm gets in use, over the training images."""
    conv, dl = learn.model[0][0].eval(), learn.dls.train
    with torch.no_grad():
        return torch.stack([conv(batch[0]).mean((0, 2, 3)) for batch in dl]).mean(0)


def test_statistics_at_the_end_are_those_of_the_network_in_use(make_learner):
    noted = []

    def note(module, inputs):
        if not module.training and (not noted or not torch.equal(noted[-1], module.running_mean)):
            noted.append(module.running_mean.clone())

    learn = make_learner([SpectralModulation(sigma=1.0, seed=0, keep_power=True), BatchNormEstimation()])
    norm = learn.model[0][1]
    norm.register_forward_pre_hook(note)
    learn.fit(2, 0.05)
    torch.testing.assert_close(norm.running_mean, mean_over(learn))  # of all images, whatever their order
    assert norm.num_batches_tracked == 3
    first, last = noted  # validations, of which only the last is of the new statistics
    assert torch.equal(last, norm.running_mean)
    assert not torch.equal(first, last)
    assert learn.model[0][0].draws == 6


def test_inputs_of_two_types(make_learner, make_model, items):
    """An image and a mask, which fastai's types do not let meet outside of a training step."""

    class Two(torch.nn.Sequential):
        def forward(self, images, masks):
            return super().forward(torch.cat([images, masks[:, None].float()], 1)[:, :3])

    getters = [attrgetter("image"), lambda item: np.zeros(item.image.shape[:2], np.uint8), attrgetter("label")]
    blocks = ImageBlock, MaskBlock, CategoryBlock
    dls = DataBlock(blocks, getters=getters, n_inp=2, splitter=IndexSplitter(range(8))).dataloaders(items, bs=8)
    learn = make_learner(BatchNormEstimation(), Two(*make_model()), dls)
    learn.fit(1, 0.05)
    assert learn.model[0][1].num_batches_tracked == 3


@pytest.mark.parametrize("ends_early", [True, False])
def test_statistics_are_those_of_the_weights_that_stay(make_learner, tmp_path, ends_early):
    best = SaveModelCallback(monitor="train_loss", comp=np.greater, fname="best")  # of the first epoch
    stop = EarlyStoppingCallback(monitor="train_loss", min_delta=100.0, patience=1)
    learn = make_learner([BatchNormEstimation(), stop if ends_early else best])
    learn.path = tmp_path
    learn.fit(4, 0.05)
    assert learn.epoch == (1 if ends_early else 3)
    mean = learn.model[0][1].running_mean
    torch.testing.assert_close(mean, mean_over(learn))
    mean.fill_(7)  # by whoever; what is no fit leaves it
    learn.validate()
    learn.get_preds()
    assert torch.equal(mean, torch.full_like(mean, 7))


@pytest.mark.parametrize("error", [CancelEpochException, CancelFitException])
def test_statistics_where_the_last_epoch_ends_in_its_steps(make_learner, error):
    def cancel(self):
        if self.learn.epoch == 1 and self.learn.iter == 1:
            raise error

    learn = make_learner(BatchNormEstimation())
    learn.fit(2, 0.05, cbs=Callback(after_step=cancel))
    torch.testing.assert_close(learn.model[0][1].running_mean, mean_over(learn))
    assert learn.model[0][1].num_batches_tracked == 3


def test_a_number_of_batches_and_weights_as_without_it(make_learner):
    plain, learn = make_learner(), make_learner(BatchNormEstimation(batches=2))
    plain.fit(1, 0.05)
    learn.fit(1, 0.05)
    assert all(map(torch.equal, plain.model.parameters(), learn.model.parameters()))
    assert learn.model[0][1].num_batches_tracked == 2
    copy.deepcopy(learn)  # nothing is left of the epoch that was not read to its end


def test_frozen_statistics_are_kept_and_applied_in_training_while_weights_train(make_learner):
    learn = make_learner(BatchNormFreeze())
    norm, modes = learn.model[0][1], set()
    norm.running_mean.fill_(-3)  # so that ReLU lets all pass
    norm.register_forward_pre_hook(lambda module, inputs: modes.add((learn.training, module.training)))
    weight = norm.weight.detach().clone()
    learn.fit(1, 0.05)
    assert modes == {(True, False), (False, False)}
    assert torch.equal(norm.running_mean, torch.full_like(norm.running_mean, -3))
    assert norm.num_batches_tracked == 0
    assert not torch.equal(norm.weight, weight)

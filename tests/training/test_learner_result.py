"""What is measured of a Learner: which images are judged, metrics, comparisons, tables and figures."""

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.block import DataBlock
from fastai.data.transforms import RandomSplitter, parent_label
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat
from fastai.metrics import F1Score, accuracy, accuracy_multi
from fastai.torch_basics import L, noop
from fastai.vision.augment import Resize
from fastai.vision.data import ImageBlock, MultiCategoryBlock
from torch.nn.functional import one_hot

from freqfast.corruptions import MAIN
from freqfast.robustness import CLEAN
from freqfast.training.learner_result import LearnerResult
from freqfast.training.validation import analyse
from tests.support.colour_learners import FOURS, brightest_channel, measure


def test_two_learners_are_compared_image_by_image(learn):
    other = Learner(learn.dls, brightest_channel(), metrics=accuracy)
    ours, theirs = (measure(one, ["contrast"], [1, 2]) for one in (learn, other))
    difference = ours.compare(theirs).differences["clean"]
    assert difference.value == pytest.approx(ours.by_image.clean - theirs.by_image.clean)
    assert difference.interval is not None


def test_several_labels_have_metrics_alone(folder):
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock(vocab=["red", "green", "blue"])),
        get_items=lambda root: sorted(root.rglob("*.jpg")),
        get_y=lambda path: [parent_label(path)],
        splitter=RandomSplitter(seed=0),
        item_tfms=Resize(32),
    )
    learn = Learner(block.dataloaders(folder, **FOURS), brightest_channel(), metrics=accuracy_multi)
    found = measure(learn, ["brightness"], [1])
    assert found.by_image is None
    assert 0 <= found.metrics["brightness", 1]["accuracy_multi"] <= 1
    with pytest.raises(ValueError, match="images without one label and a logit for each class are not judged"):
        found.compare(found)


def test_one_logit_is_not_judged(learn):
    """Its sign tells the class, which the largest of one logit does not."""
    one = Learner(learn.dls, brightest_channel(1), loss_func=BCEWithLogitsLossFlat(), metrics=accuracy_multi)
    found = measure(one, ["fog"], [1])
    assert found.by_image is None
    with pytest.raises(ValueError, match="images without one label and a logit for each class are not judged"):
        measure(learn, ["fog"], [1]).compare(found)
    with pytest.raises(ValueError, match="must give logits of shape \\(2, classes\\)"):
        analyse(one, "reliance")


def test_results_in_a_notebook(learn):
    found = measure(learn, ["fog", "contrast"], [1, 5])
    frame = found.to_frame()
    assert frame.loc[("fog", 5), "loss"] == found.metrics["fog", 5]["loss"]
    assert found.mean("accuracy") == pytest.approx(frame["accuracy"].iloc[1:].mean())
    assert "mean over 2 corruptions" in found._repr_html_()
    (axes, _) = found.plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fog", "contrast"]
    assert axes.get_title().startswith("accuracy")
    for names in (["snow"], ["fog", "snow"]):  # the mean of the others would be taken for that of all
        with pytest.raises(ValueError, match="'snow' was not measured; there are fog, contrast"):
            found.mean("loss", names)
    with pytest.raises(ValueError, match="no corruption was measured or named"):
        found.mean("loss", [])
    for use in (found.mean, found.plot):
        with pytest.raises(ValueError, match="'acc' was not measured; there are loss, accuracy, f1_score"):
            use("acc")


def test_the_main_corruptions_have_a_mean_of_their_own_beside_others():
    measured = {CLEAN: {"loss": 0.5}} | {(name, 1): {"loss": 1.0} for name in MAIN}
    text = "mean over the 15 main corruptions</td><td>"
    assert text not in LearnerResult(measured)._repr_html_()
    assert f"{text}1</td>" in LearnerResult(measured | {("spatter", 1): {"loss": 17.0}})._repr_html_()


def test_metrics_of_one_name_are_numbered(learn):
    learn.metrics = L(F1Score(average="macro"), accuracy, F1Score(average="micro"))
    found = measure(learn, ["fog"], [1], limit=9)
    assert found.names == ("loss", "f1_score", "accuracy", "f1_score (2)")


def test_a_metric_of_each_class(learn):
    learn.metrics = L(F1Score(average=None))
    found = measure(learn, ["fog"], [1])
    scores = found.metrics["fog", 1]["f1_score"]
    assert found.mean("f1_score") == pytest.approx(scores)
    assert f"[{' '.join(f'{score:.4g}' for score in scores)}]" in found._repr_html_()
    with pytest.raises(ValueError, match=r"f1_score gives several numbers, and a figure shows one; to_frame\(\) has"):
        found.plot()


def test_two_targets_are_neither_right_nor_wrong(learn):
    def second(self):
        self.learn.yb = self.learn.yb * 2

    learn.add_cb(Callback(before_batch=second))
    learn.loss_func, learn.metrics = (lambda logits, one, other: logits.mean()), L()
    found = measure(learn, ["fog"], [1], limit=3)
    assert found.by_image is None
    assert found.plot().axes[0].get_title().startswith("loss")  # the only value


@pytest.mark.parametrize(
    ("pred", "target"),
    [
        (noop, lambda labels: labels.float()),
        (noop, lambda labels: one_hot(labels.as_subclass(torch.Tensor), 3)),
        (lambda logits: logits[:, 0], noop),
        (lambda logits: logits[:, :, None], noop),
    ],
)
def test_outputs_and_targets_that_are_no_logits_and_labels_are_not_judged(pred, target, learn):
    def before_batch(self):
        self.learn.yb = (target(self.learn.yb[0]),)

    def after_pred(self):
        self.learn.pred = pred(self.learn.pred)

    changes = Callback(before_batch=before_batch, after_pred=after_pred)
    changes.order = -1
    learn.add_cb(changes)
    learn.loss_func, learn.metrics = (lambda logits, labels: logits.mean()), L()
    assert measure(learn, ["fog"], [1], limit=3).by_image is None

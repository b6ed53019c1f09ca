"""The methods as a callback of Hugging Face's Trainer.

With it comes `freqfast.integrations.pretrained`: saved networks come back with gains, equalizers and low-passes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

import freqfast.integrations.pretrained  # noqa: F401  (networks come back as they were saved)
from freqfast.methods import Method, Methods


class FrequencyMethods(TrainerCallback, ExportableState):
    """Runs methods in `transformers.Trainer`; its checkpoints hold their state.

    Make it before the Trainer, which gets it among its callbacks, and a data collator by `collate`. Label smoothing,
    which leaves the model without labels, is refused.

    Args:
        model: An image classifier of transformers.
        *methods: Methods of `freqfast.methods`.
        mean, std: Those of each channel that ``pixel_values`` are normalised by; None for pixels in [0, 1].
    """

    def __init__(self, model: Any, *methods: Method, mean: Any = None, std: Any = None) -> None:
        self.model, self.methods, self._labels = model, Methods(model, methods, mean=mean, std=std), None
        model.register_forward_pre_hook(self._before, with_kwargs=True)
        model.register_forward_hook(self._after, with_kwargs=True)

    def collate(self, collator: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A collator of the same batches, whose ``pixel_values`` are changed in training."""
        return partial(self._collated, collator)

    def _collated(self, collator: Callable[[Any], Any], examples: Any) -> Any:
        batch = collator(examples)
        return {**batch, "pixel_values": self.methods.images(batch["pixel_values"])}

    def _before(self, model: Any, args: tuple, inputs: dict) -> tuple:
        self._labels = inputs.get("labels") if model.training else None  # which are fewer than images with views
        return args, inputs if self._labels is None else {**inputs, "labels": None}

    def _after(self, model: Any, args: tuple, inputs: dict, output: Any) -> Any:
        if (labels := self._labels) is not None:
            counted = {name: value for name, value in inputs.items() if name == "num_items_in_batch"}
            criterion = lambda logits, labels: model.loss_function(labels, logits, model.config, **counted)  # noqa: E731
            output.loss = self.methods.loss(criterion, output.logits, labels)
            output.logits = output.logits[: len(labels)]
        return output

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.label_smoothing_factor:
            raise ValueError("label smoothing leaves the model without labels; pass label_smoothing_factor=0")
        self.methods.load_state_dict(state.stateful_callbacks["FrequencyMethods"]["attributes"])
        self.model.train()
        self.methods.start()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.methods.step()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.model.train()  # the next batch is collated before the Trainer says so

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": tree_map_only(Tensor, Tensor.tolist, self.methods.state_dict())}

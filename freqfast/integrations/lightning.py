"""The methods as a callback of Lightning."""

from functools import partial, wraps
from typing import Any
from unittest.mock import DEFAULT, patch

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from freqfast.methods import Method, Methods


class FrequencyMethods(Callback):
    """Runs methods in a fit; checkpoints hold their state. Put it before callbacks that average weights.

    Where a method adds views of each batch, ``training_step`` runs once more for each view, with outputs that the
    network gave already, to learn its loss; what it logs then is left out. Manual optimization is refused.

    Args:
        *methods: Methods of `freqfast.methods`.
        network: Name of the network in the LightningModule, which its ``training_step`` calls once; "" for itself.
        mean, std: Those of each channel that images are normalised by; None for pixels in [0, 1].
    """

    def __init__(self, *methods: Method, network: str = "net", mean: Any = None, std: Any = None) -> None:
        self.methods, self.network, self._normalisation = methods, network, {"mean": mean, "std": std}
        self._running, self._undo = None, []  # type: Any, list[Any]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        network = pl_module.get_submodule(self.network)
        self._running = Methods(network, self.methods, **self._normalisation)  # before there is an optimizer
        if stage == "fit":
            if not pl_module.automatic_optimization:
                raise ValueError("the module optimizes by hand; use freqfast.methods.Methods in its training_step")
            step = pl_module.training_step
            vars(pl_module)["training_step"] = wraps(step)(partial(self._training_step, pl_module, network, step))
            hooks = network.register_forward_pre_hook(self._before), network.register_forward_hook(self._after)
            self._undo = [partial(vars(pl_module).pop, "training_step", None), *(hook.remove for hook in hooks)]

    def _before(self, network: nn.Module, inputs: tuple) -> tuple:
        return (self._running.images(inputs[0]), *inputs[1:])

    def _after(self, network: nn.Module, inputs: tuple, outputs: Any) -> Any:
        self._outputs = outputs
        return outputs[: len(outputs) // self._running.passes_per_image] if network.training else outputs

    def _training_step(self, module: LightningModule, network: nn.Module, step: Any, *args: Any) -> Any:
        if (result := step(*args)) is None:  # the batch is skipped
            return None
        loss_of: Any = lambda result: result["loss"] if isinstance(result, dict) else result  # noqa: E731
        known = [loss_of(result)]

        def criterion(outputs: Tensor, _: Any) -> Tensor:
            if known:  # the batch's own, which comes first
                return known.pop()
            quiet = patch.multiple(module, log=DEFAULT, log_dict=DEFAULT)
            with quiet, patch.object(network, "_call_impl", lambda *_, **__: outputs):
                return loss_of(step(*args))

        labels = args[0][1] if isinstance(args[0], (list, tuple)) else None
        loss = self._running.loss(criterion, self._outputs, labels)
        return {**result, "loss": loss} if isinstance(result, dict) else loss

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._running.start()  # once a checkpoint is loaded

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self._running.step()

    def teardown(self, *_: Any, **__: Any) -> None:
        while self._undo:
            self._undo.pop()()

    on_exception = teardown

    def state_dict(self) -> dict[str, Any]:
        return self._running.state_dict() if self._running else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._running.load_state_dict(state_dict)

"""Make an existing network robust: the schedules of `freqfast finetune`."""

from dataclasses import replace

from freqfast import Recipe

robust = Recipe(
    description="fine-tuning towards the network's own outputs, half of each batch perturbed; for freqfast finetune",
    epochs=1,
    batch_size=128,
    lr=0.01,
    weight_decay=1e-4,
    callbacks={"spectrum_perturbation": {"share": 0.5, "gain": 1.0}, "distillation": {}},
)

robust_photographs = replace(
    robust,
    description="robust for few photographs: small steps, BatchNorm's statistics stay",
    epochs=4,
    batch_size=32,
    lr=0.001,
    callbacks={**robust.callbacks, "batch_norm_freeze": {}},
)

"""Make an existing network robust: the schedule of `freqfast finetune`."""

from freqfast import Recipe

robust = Recipe(
    description="a trained network on, a quarter of each batch perturbed; for freqfast finetune",
    epochs=2,
    batch_size=128,
    lr=0.01,
    weight_decay=1e-4,
    callbacks={"spectrum_perturbation": {"share": 0.25, "gain": 1.0}},
)

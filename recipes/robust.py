"""Make an existing network robust: the schedules of `freqfast finetune`."""

from dataclasses import replace

from freqfast import Recipe

robust = Recipe(
    description="fine-tuning of a trained network, a quarter of each batch perturbed; for freqfast finetune",
    epochs=2,
    batch_size=128,
    lr=0.01,
    weight_decay=1e-4,
    callbacks={"spectrum_perturbation": {"share": 0.25, "gain": 1.0}},
)

robust_photographs = replace(
    robust,
    description="fine-tuning on few photographs, half of each batch perturbed, up to ImageNet-C's blur 3 and noise 4",
    epochs=4,
    batch_size=32,
    lr=0.001,
    callbacks={
        "spectrum_perturbation": {"share": 0.5, "gain": 1.0, "tilt": 20.0, "noise": 0.3, "scale": 1.0},
        "batch_norm_freeze": {},
    },
)

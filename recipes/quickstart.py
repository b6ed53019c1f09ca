"""A first run: a small ResNet-18 on patches of photographs, one to four minutes on two cores, no download.

Three ideas at once: three quarters of the filters low-frequency, a learned modulation, perturbed samples.
"""

from dataclasses import replace

from freqfast import Recipe

quickstart = Recipe(
    description="small ResNet-18 on photo patches, three callbacks, one to four minutes on two cores",
    data="photos",
    model_options={"width": 16},
    epochs=8,
    batch_size=128,
    lr=0.2,
    callbacks={
        "frequency_proportion": {"proportions": {"low": 0.75, "high": 0.25}},
        "spectral_modulation": {"sigma": 0.5},
        "spectrum_perturbation": {"share": 0.25},
    },
)

quickstart_baseline = replace(quickstart, description="the same without any callback, to compare with", callbacks={})

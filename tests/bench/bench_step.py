"""What each callback, or each arm of a study, adds to a training step of ResNet-18.

    python -m tests.bench.bench_step [--width 64] [--batch-size 128] [--rounds 9] [--steps 6] [--all]
    python -m tests.bench.bench_step --study recipes/studies/small.toml

Fits one Learner for a few steps at a time, with the callbacks of each arm in turn (added for that fit only) and without
any; prints a step's time and its ratio to the step without. Arms are single callbacks with the arguments of the
recipes, or those of a study, at its width and batch size. About five minutes on two cores; ``--width 16`` gives a quick
look.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from freqfast.runs.recipe import Recipe, apply_overrides
from freqfast.runs.registry import find_recipe
from freqfast.spectral.antialiasing import remove_antialiasing
from freqfast.spectral.equalization import remove_equalization
from freqfast.spectral.modulation import bake_modulation
from freqfast.study import load_study
from freqfast.training import build_callbacks, build_learner
from tests.bench.common import Arguments, StepClock, interleave, median, photo_data, print_table, ratio

BASELINE = "without"
CALLBACKS = {  # recipes whose callbacks are measured, and the ratio aimed at
    BASELINE: ("baseline", ""),
    "FrequencyProportion": ("proportion_balanced", "1.01"),
    "SpectralModulation": ("modulation", "1.01"),
    "SpectrumPerturbation": ("perturbation", "1.03"),
    "SpectrumEqualization": ("equalization", "1.03"),
    "Antialiasing": ("antialiasing", "1.05"),
}


def main() -> None:
    parser = Arguments(__doc__, rounds=9, steps=6, least_steps=2, device=True)
    parser.add_argument("--width", type=int, help="filters of the first layer; 64, or as the study has it")
    parser.add_argument("--batch-size", type=int, help="128, or as the study has it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="also measure the callbacks together")
    which.add_argument("--study", type=Path, metavar="FILE", help="measure the arms of a study instead")
    args = parser.read()

    aims = {name: aim for name, (_, aim) in CALLBACKS.items()}
    if args.study is not None:
        study = load_study(args.study)
        baseline, arms = study.baseline, {arm.name: arm.recipe for arm in study.arms}
    else:
        baseline, arms = BASELINE, single_callbacks(args.all)
    changes = {"model.width": args.width, "batch_size": args.batch_size, "precision": args.precision}
    plain = apply_overrides(arms[baseline], {key: value for key, value in changes.items() if value is not None})
    learn = build_learner(plain, photo_data(plain.batch_size * args.steps), args.device)
    clock = StepClock(args.device)

    def step_seconds(recipe: Recipe) -> float:
        # One Learner for all arms: two models alone, at different addresses, can differ by more than a callback costs.
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, lr=0.01, cbs=[clock, *build_callbacks(recipe)], reset_opt=True)
        bake_modulation(remove_antialiasing(remove_equalization(learn.model)))
        return clock.median_step()

    seconds = interleave({name: partial(step_seconds, recipe) for name, recipe in arms.items()}, args.rounds)
    rows = []
    for name, values in seconds.items():
        over = "" if name == baseline else ratio(values, seconds[baseline])
        rows.append((name, median(1000 * values, 1), over, f"<= {aims[name]}" if aims.get(name) else ""))
    header = ("arm", "ms a step (quartiles)", f"over {baseline} (95 %)", "aim")
    print_table(args, header, rows, **plain.model_options, batch_size=plain.batch_size)


def single_callbacks(and_all: bool) -> Mapping[str, Recipe]:
    """The recipe without callbacks and those with one each, and one with them all together where that is wanted."""
    found = {name: find_recipe(f"resnet18_cifar10.{recipe}") for name, (recipe, _) in CALLBACKS.items()}
    plain = replace(found[BASELINE], model_options={"width": 64}, batch_size=128)
    found[BASELINE] = plain
    if and_all:
        together = {key: options for recipe in found.values() for key, options in recipe.callbacks.items()}
        found["all"] = replace(plain, callbacks=together)
    found["SpectrumEqualization, one bin"] = replace(plain, callbacks={"spectrum_equalization": {"bins": 1}})
    return found


if __name__ == "__main__":
    main()

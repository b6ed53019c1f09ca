"""What each callback adds to a training step of ResNet-18.

    python tests/bench/bench_step.py [--width 64] [--batch-size 128] [--rounds 9] [--steps 6] [--all]

Fits one Learner for a few steps at a time, with each callback in turn (added for that fit only, with the arguments of
the recipes) and without any; prints a step's time and its ratio to the step without. About five minutes on two cores;
``--width 16`` gives a quick look.
"""

import argparse
from dataclasses import replace

from common import StepClock, interleave, median, photo_data, print_setting, print_table, ratio

from freqfast.antialiasing import remove_antialiasing
from freqfast.equalization import remove_equalization
from freqfast.recipe import Recipe, find_recipe
from freqfast.training import build_callbacks, build_learner

BASELINE = "without"
ARMS = {  # recipes whose callbacks are measured, and the ratio aimed at
    BASELINE: ("baseline", ""),
    "FrequencyProportion": ("proportion_balanced", "1.01"),
    "SpectralModulation": ("modulation", "1.01"),
    "SpectrumPerturbation": ("perturbation", "1.03"),
    "SpectrumEqualization": ("equalization", "1.03"),
    "Antialiasing": ("antialiasing", "1.05"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, help="filters of the first layer")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9, help="fits of each arm that are measured")
    parser.add_argument("--steps", type=int, default=6, help="steps of a fit; the first is not measured")
    parser.add_argument("--all", action="store_true", help="also measure the callbacks together")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    if args.rounds < 1 or args.steps < 2:
        parser.error("at least 1 round of 2 steps")

    found = {name: find_recipe(f"resnet18_cifar10.{recipe}") for name, (recipe, _) in ARMS.items()}
    aims = {name: aim for name, (_, aim) in ARMS.items()}
    if args.all:
        together = {key: options for recipe in found.values() for key, options in recipe.callbacks.items()}
        found["all"] = replace(found[BASELINE], callbacks=together)
    changes = {"width": args.width, "batch_size": args.batch_size, "precision": args.precision}
    learn = build_learner(replace(found[BASELINE], **changes), photo_data(args.batch_size * args.steps), args.device)
    clock = StepClock(args.device)

    def step_seconds(recipe: Recipe) -> float:
        # One Learner for all arms: two models alone, at different addresses, can differ by more than a callback costs.
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, lr=0.01, cbs=[clock, *build_callbacks(recipe)])
        remove_antialiasing(remove_equalization(learn.model))  # the others leave with their callback
        return clock.median_step()

    seconds = interleave(
        {name: lambda recipe=recipe: step_seconds(recipe) for name, recipe in found.items()}, args.rounds
    )
    print_setting(
        args.device,
        args.precision,
        width=args.width,
        batch_size=args.batch_size,
        rounds=args.rounds,
        measured_steps_a_round=args.steps - 1,
    )
    print_table(
        ("callback", "ms a step (quartiles)", f"over {BASELINE} (95 %)", "aim"),
        [
            (
                name,
                median(1000 * values, 1),
                "" if name == BASELINE else ratio(values, seconds[BASELINE]),
                f"<= {aims[name]}" if aims.get(name) else "",
            )
            for name, values in seconds.items()
        ],
    )


if __name__ == "__main__":
    main()

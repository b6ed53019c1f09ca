"""A study whose runs take seconds, and an arm that diverges."""

from tests.support import networks  # noqa: F401 (registers its model)

STUDY = """
title = "Stripes"
description = "Does an all-low first layer help?"
seeds = [0, 1]
baseline = "baseline"

[settings]
model = "tiny"
"model.width" = 8
batch_size = 16
test_images = 2
epochs = 1
lr = 0.05
precision = "float32"

[arms.baseline]
recipe = "resnet18_cifar10.baseline"

[arms.low]
recipe = "resnet18_cifar10.baseline"
description = "all filters low"
[arms.low.callbacks.frequency_proportion]
proportions = { low = 1.0 }
"""
BROKEN = """
[arms.broken]
recipe = "resnet18_cifar10.baseline"
seeds = [0]
settings = { lr = 1e30 }
"""

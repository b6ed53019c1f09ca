"""The corruptions of CIFAR-10-C-bar and ImageNet-C-bar, ten each: a second test, made to be unlike the first.

Mintun, Kirillov and Xie, "On Interaction between Augmentations and Corruptions in Natural Corruption Robustness"
(NeurIPS 2021, arXiv:2102.11273) chose them, out of thirty, as those that a network's features tell most clearly from
CIFAR-10-C or ImageNet-C, each at five severities about as hard as theirs. What was tuned on those, knowingly or not,
shows here. Definitions and parameters are the published generators'; a departure is stated where it is made. Names are
spelt as published, "abberation" and "cocentric" among them.

The generators measure lengths as shares of the side of a square image. Here they are shares of the shorter side; what
they keep in pixels (the width of a line, the least length of a ray) stays in pixels.
"""

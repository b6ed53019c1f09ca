"""The ten corruptions of CIFAR-10-C-bar: a second test, made to be unlike the first.

Mintun, Kirillov and Xie, "On Interaction between Augmentations and Corruptions in Natural Corruption Robustness"
(NeurIPS 2021, arXiv:2102.11273) chose them, out of thirty, as those that a network's features tell most clearly from
CIFAR-10-C, each at five severities about as hard as CIFAR-10-C's. What was tuned on CIFAR-10-C, knowingly or not, shows
here. All definitions and parameters are the published generator's for CIFAR-10; a departure is stated where it is made.

The generator measures lengths as shares of the side of a square image. Here they are shares of the shorter side; what
it keeps in pixels (the width of a line, the least length of a ray) stays in pixels.
"""

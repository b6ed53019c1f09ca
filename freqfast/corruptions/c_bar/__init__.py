"""The corruptions of CIFAR-10-C-bar and ImageNet-C-bar, ten each: a second test, made to differ from the first.

Mintun, Kirillov and Xie, "On Interaction between Augmentations and Corruptions in Natural Corruption Robustness"
(NeurIPS 2021, arXiv:2102.11273) chose them, out of thirty, as those that differ most from CIFAR-10-C's or ImageNet-C's
in a network's features, at five severities of about the same difficulty. They show whether a method was tuned on those,
knowingly or not. Definitions and parameters are those of the published generators; departures are stated where they
occur. Names are spelt as published, including "abberation" and "cocentric".

The generators measure lengths as shares of the side of a square image. Here they are shares of the shorter side; what
the generators keep in pixels (the width of a line, the least length of a ray) stays in pixels.
"""

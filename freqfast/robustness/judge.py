"""The one loop that asks networks about images under a change, and what a network answered image by image.

Evaluations, analyses, a Learner's evaluation and the end of a run go through `answers`.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqfast.corruptions import corrupt
from freqfast.corruptions.tables import TableChoice
from freqfast.data.images import Images
from freqfast.models.classifier import Classifier
from freqfast.models.network import Network
from freqfast.robustness.cells import Change
from freqfast.robustness.outcomes import Outcomes


@dataclass(frozen=True)
class Corruption:
    """The change that `freqfast.corruptions.corrupt` makes; its arguments are attributes here.

    Examples:
        >>> images = np.full((100, 32, 32, 3), 128, np.uint8)
        >>> change, rows = Corruption("gaussian_noise", 3), np.arange(100)
        >>> bool((change(images[40:50], rows[40:50]) == change(images, rows)[40:50]).all())
        True
    """

    name: str
    severity: int
    seed: int = 0
    frost_dir: str | Path | None = None
    table: TableChoice = "auto"

    def __call__(self, pixels: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """The corrupted images; those in `rows` of a set are the same whatever else is corrupted with them."""
        key = self.name, self.severity, self.seed
        return corrupt(pixels, *key, index=rows, frost_dir=self.frost_dir, table=self.table)


class Answer(NamedTuple):
    """What networks answer to a batch.

    Attributes:
        rows: Places of its images, ``(n,)``.
        pixels: The images as the networks got them, ``(n, H, W, 3)``.
        logits: Of each network, ``(n, classes)``.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[Any]
    logits: list[Tensor]


def answers(networks: Sequence[Classifier], images: Images, change: Change | None = None) -> Iterator[Answer]:
    """Pass images through networks, batch by batch and in order; each batch is read and changed once for all of them.

    On the CPU each of torch's threads takes a batch of its own from its file to its logits, without the others: so one
    may corrupt while another computes, and none waits. On another device one thread prepares the batch after the one
    that passes. Batches have as many images as the first network says.
    """
    size = networks[0].images_at_once(*images.pixels.shape[1:3])
    on_cpu = all(network.device.type == "cpu" for network in networks)
    threads = torch.get_num_threads()
    workers = threads if on_cpu else 1

    def prepare(start: int) -> Answer:
        rows = np.arange(start, min(start + size, len(images)))
        pixels = np.array(images.pixels[start : start + size], order="C")
        pixels = pixels if change is None else np.ascontiguousarray(change(pixels, rows))
        return Answer(rows, pixels, [network.logits(pixels) for network in networks] if on_cpu else [])

    if not len(images):
        raise ValueError("there are no images; name at least one")
    first, *starts = range(0, len(images), size)
    one = prepare(first)  # alone, since the first batch makes the networks ready
    yield one if on_cpu else one._replace(logits=[network.logits(one.pixels) for network in networks])
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[Future[Answer]] = deque()
        try:
            while starts or coming:
                while starts and len(coming) <= workers:
                    coming.append(pool.submit(prepare, starts.pop(0)))
                one = coming.popleft().result()
                yield one if on_cpu else one._replace(logits=[network.logits(one.pixels) for network in networks])
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # which new threads of others inherit


def judge(
    network: Network | Classifier,
    images: Images,
    change: Change | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Outcomes:
    """Which images a network classifies correctly, as they are or under a change.

    Args:
        network: The network.
        images: The images, with their labels.
        change: What is done to each batch before; None for nothing.
        progress: Called with the number of images after each batch.

    Raises:
        ValueError: If the network cannot take the images, or an output is not finite.

    Examples:
        >>> from torch import nn
        >>> from freqfast.preprocessing import Preprocessing
        >>> module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        >>> brightest = Network("brightest colour", module, Preprocessing((0,) * 3, (1,) * 3))
        >>> images = Images(np.full((2, 8, 8, 3), (10, 30, 20), np.uint8), np.array([1, 2]))
        >>> judge(brightest, images).accuracy, judge(brightest, images, lambda pixels, rows: pixels[..., ::-1]).accuracy
        (0.5, 0.5)
    """
    classifier = network if isinstance(network, Classifier) else Classifier(network)
    return judge_all([classifier], images, change, progress)[0]


def judge_all(
    classifiers: Sequence[Classifier],
    images: Images,
    change: Change | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> list[Outcomes]:
    """`judge` for several networks at once."""
    tally = [Tally(images.labels) for _ in classifiers]
    for answer in answers(classifiers, images, change):
        for each, logits in zip(tally, answer.logits, strict=True):
            each.add(logits)
        tally[0].see(answer.pixels)
        progress(int(answer.rows[-1]) + 1)
    for each, classifier in zip(tally, classifiers, strict=True):
        if not each.is_finite:
            raise ValueError(
                f"{classifier.name} gives outputs that are not finite; check its weights, or try precision float32"
            )
    return [each.outcomes(tally[0].images_crc32) for each in tally]


class Tally:
    """Counts a network's answers to images with these labels, ``(N,)``."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels
        self._classes: list[Tensor] = []
        self._confidence: list[Tensor] = []
        self._crc32 = 0

    @torch.inference_mode()
    def add(self, logits: Tensor) -> None:
        """Classes and their softmax probabilities, at the cost of one pass: no other probability is needed."""
        top, classes = logits.max(1)
        self._classes.append(classes)
        self._confidence.append((top - logits.logsumexp(1)).exp())

    def see(self, pixels: NDArray[Any]) -> None:
        """Take in the bytes of a batch, for the checksum."""
        self._crc32 = zlib.crc32(pixels.data, self._crc32)

    @property
    def is_finite(self) -> bool:
        """Whether all answers are finite."""
        return bool(torch.cat(self._confidence).isfinite().all())

    @property
    def images_crc32(self) -> int:
        """Checksum of the images' bytes, followed by their labels."""
        return zlib.crc32(self.labels.astype("<i8").data, self._crc32)

    def outcomes(self, images_crc32: int) -> Outcomes:
        """What was right."""
        classes, confidence = (torch.cat(parts).cpu().numpy() for parts in (self._classes, self._confidence))
        return Outcomes.measure(classes, confidence, self.labels, images_crc32)

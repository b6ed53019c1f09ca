"""fastai DataLoaders over arrays, or files: batches are indexed, augmented and normalised as tensors on the device."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import fastai.vision.data  # noqa: F401 (gives show_batch its grid of images)
import numpy as np
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import Category, CategoryMap, Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import TensorCategory, TensorImage, to_detach
from fastai.vision.core import PILImage
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from freqfast.compute.precision import default_device, resolve_device
from freqfast.data.augmentation import PADDING, CropFlip, RandomResizedCropFlip
from freqfast.data.image_files import AS_THEY_ARE, ImageFiles, upright
from freqfast.data.images import ImageData
from freqfast.preprocessing import Preprocessing

T = TypeVar("T")
R = TypeVar("R")


class ArrayDataset:
    """Images and labels as tensors, item by item for fastai's tools and in batches for `InMemoryDL`.

    Args:
        images: uint8 ``(N, H, W, 3)``; or `freqfast.data.image_files.ImageFiles`, which are decoded batch by batch.
        labels: int64 ``(N,)``; None for images without labels.
        classes: Class names.
        split_idx: 0 for training (augmented), 1 for validation.
    """

    n_inp = 1

    def __init__(
        self,
        images: np.ndarray | Tensor | ImageFiles,
        labels: np.ndarray | Tensor | None,
        classes: Sequence[str],
        split_idx: int,
    ) -> None:
        self.images = images if isinstance(images, ImageFiles) else torch.as_tensor(images)
        self.labels = None if labels is None else torch.as_tensor(labels)
        self.vocab, self.split_idx = CategoryMap(list(classes), sort=False), split_idx
        self.c = len(classes)
        self.loss_func = CrossEntropyLossFlat()  # for a Learner that is given none

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Images uint8 ``(B, 3, H, W)``, channels last in memory, and labels ``(B,)`` unless there are none."""
        if isinstance(self.images, ImageFiles):
            pixels = torch.from_numpy(np.asarray(self.images[np.asarray(rows)]))
        else:
            pixels = self.images[torch.as_tensor(rows, device=self.images.device)]
        images = TensorImage(pixels.permute(0, 3, 1, 2))
        if self.labels is None:
            return (images,)
        return images, TensorCategory(self.labels[torch.as_tensor(rows, device=self.labels.device)])

    def batches(self, chunks: Iterable[Sequence[int]]) -> Iterator[tuple[Tensor, ...]]:
        """A batch for each chunk of rows; batches of files are decoded in threads, while the one before is used."""
        return _ahead(self.batch, chunks) if isinstance(self.images, ImageFiles) else map(self.batch, chunks)

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        return tuple(part[0] for part in self.batch([row]))

    def decode(self, item: tuple, full: bool = True) -> tuple:
        """An item as fastai shows it, with the name of its label."""
        return (item[0], *(Category(self.vocab[int(label)]) for label in item[1:]))

    @contextmanager
    def set_split_idx(self, split_idx: int) -> Iterator["ArrayDataset"]:
        """Treat the images as training (0) or validation (1) images inside the block, for test-time augmentation."""
        old, self.split_idx = self.split_idx, split_idx
        try:
            yield self
        finally:
            self.split_idx = old

    def to(self, device: torch.device) -> None:
        """Move the arrays to a device."""
        if isinstance(self.images, Tensor):
            self.images = self.images.to(device)
        self.labels = None if self.labels is None else self.labels.to(device)

    def with_items(self, items: Any) -> "ArrayDataset":
        """A data set of other images, without labels, for predictions.

        Args:
            items: uint8 array ``(N, H, W, 3)`` or `ImageFiles`, used as they are; or a sequence of images as Pillow
                images, uint8 arrays, file paths or bytes, which are scaled and cropped like the data's own images if
                those stay in files.

        Raises:
            ValueError: If an item is not an image or is grey of more than 8 bits, if the images differ in size, or if
                an array is not uint8 ``(N, H, W, 3)``.
        """
        if isinstance(items, ImageFiles):
            return ArrayDataset(items, None, self.vocab, self.split_idx)
        is_pixels = isinstance(items, Tensor) or (isinstance(items, np.ndarray) and items.dtype.kind not in "OSU")
        if not is_pixels:
            preprocessing = self.images.preprocessing if isinstance(self.images, ImageFiles) else AS_THEY_ARE
            arrays = [_levels(item, number, preprocessing) for number, item in enumerate(items)]
            if len(sizes := sorted({f"{a.shape[1]}x{a.shape[0]}" for a in arrays})) > 1:
                raise ValueError(f"images must have one size, got {' and '.join(sizes)}; resize them first")
            items = np.stack(arrays) if arrays else self._no_images
        if (images := torch.as_tensor(items)).dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images must be uint8 (N, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        return ArrayDataset(images, None, self.vocab, self.split_idx)

    @property
    def _no_images(self) -> Tensor:
        return torch.empty((0, *self.images.shape[1:]), dtype=torch.uint8)

    def new_empty(self) -> "ArrayDataset":
        """The same data set without its images, for exports."""
        images = self.images[:0] if isinstance(self.images, ImageFiles) else self._no_images
        return ArrayDataset(images, torch.empty(0, dtype=torch.int64), self.vocab, self.split_idx)


def _levels(item: Any, number: int, preprocessing: Preprocessing) -> np.ndarray:
    """The RGB levels of an image in any form that fastai reads, scaled and cropped."""
    try:
        opened = item if isinstance(item, Image.Image) else PILImage.create(item, mode=None)  # fastai would make it RGB
        return preprocessing.frame(upright(opened))
    except Exception as error:  # of many kinds, for other types and for corrupt files
        if isinstance(error, OSError) and error.filename is not None:  # it is missing, a folder or closed to us
            raise
        name = str(item) if isinstance(item, (str, Path)) else f"image {number}"
        reason: object = error
        if isinstance(error, UnidentifiedImageError):
            reason = "its format is unknown"
        elif isinstance(error, (AttributeError, TypeError)):
            reason = "it is no uint8 array (H, W) or (H, W, 3), file, bytes of one, or image of Pillow's"
        raise ValueError(f"{name} cannot be used as an image: {reason}") from None


def _ahead(make: Callable[[T], R], parts: Iterable[T]) -> Iterator[R]:
    """What a function returns for each part, in order; it is called in a thread, two parts ahead."""
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future[R]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) > 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class PixelNormalize(Normalize):
    """fastai's `Normalize` for uint8 batches: the same arithmetic, in place on a single float copy."""

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        pixels = x.as_subclass(Tensor)
        pixels = pixels.clone() if pixels.is_floating_point() else pixels.float().div_(255)
        return TensorImage(pixels.sub_(self.mean).div_(self.std))

    def decodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        pixels = x.as_subclass(Tensor) * self.std.to(x.device) + self.mean.to(x.device)
        return TensorImage(pixels.mul_(255).round_().clamp_(0, 255).long())


class InMemoryDL(TfmdDL):
    """A `TfmdDL` that takes whole batches from an `ArrayDataset` by index, without processes or per-item work.

    Attributes:
        part: Which part of each batch is loaded, as a rank and the number of ranks; by default all of it.
        first: Number of the batch with which a pass begins; the batches before it are not loaded.
    """

    part = (0, 1)
    first = 0

    def __init__(self, dataset: ArrayDataset, bs: int = 64, num_workers: int = 0, **kwargs: Any) -> None:
        super().__init__(dataset, bs=bs, num_workers=0, **kwargs)  # never workers: there is no work for them

    def create_batches(self, samps: Iterable[int]) -> Iterator[tuple[Tensor, ...]]:
        """Batches of the sampled rows."""
        rank, count = self.part
        batches = islice(self.chunkify(samps), self.first, None)  # one by one: `show_batch` may draw without end
        if count == 1:
            return self.dataset.batches(batches)
        whole = list(batches)
        if len(whole) > 1 and len(whole[-1]) < count:  # so that no part is empty
            whole[-2:] = [whole[-2] + whole[-1]]
        return self.dataset.batches(rows[rank::count] for rows in whole)

    def to_detach(self, batch: Any, cpu: bool = True, gather: bool = True) -> Any:
        """A detached batch, not gathered from all ranks if these load parts of batches: parts may differ in size."""
        return to_detach(batch, cpu, gather and self.part[1] == 1)

    def before_iter(self) -> None:
        """Move the arrays to the device before the first batch."""
        super().before_iter()
        if self.device is not None:
            self.dataset.to(self.device)

    def new(self, dataset: Any = None, cls: type | None = None, **kwargs: Any) -> Any:
        """A loader with other settings, or over other images: a data set, or anything `with_items` takes."""
        if dataset is not None and not isinstance(dataset, ArrayDataset):
            dataset = self.dataset.with_items(dataset)
        return super().new(dataset, cls, **kwargs)

    def show_results(self, *args: Any, **kwargs: Any) -> Any:
        """Show images with their labels and predictions; the grid comes with fastai's vision learner."""
        import fastai.vision.learner  # noqa: F401 (seconds to import, so not before it is needed)

        return super().show_results(*args, **kwargs)

    def _one_pass(self) -> None:
        """Set the types of a batch: fastai draws a batch to find them, but an exported data set is empty."""
        self._n_inp, self._types = 1, {tuple: [TensorImage, TensorCategory]}


def dataloaders(
    data: ImageData,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
) -> DataLoaders:
    """Make fastai DataLoaders of a data set: ``(TensorImage, TensorCategory)`` batches, normalised, channels last.

    Training images are randomly cropped (4 pixels of reflected padding) and flipped. Images that stay in files are
    decoded in threads ahead of their use. For training, their shorter side is scaled and a square is cut out of the
    middle, which a `RandomResizedCropFlip` on the device crops and flips.

    Args:
        data: The data.
        batch_size: Samples per training batch; validation batches are twice as large.
        device: Where batches live; a CUDA GPU if there is one, else the CPU, if None.
        normalisation: Channel means and standard deviations, for pixels in [0, 1]; by default those of the data.

    Raises:
        ValueError: If `batch_size` is not positive or exceeds the training set, images are too small to crop, images in
            files have no `resize` or `crop`, or the device is not available.
    """
    if not 1 <= batch_size <= len(data.train):
        raise ValueError(f"batch_size must lie in 1..{len(data.train)}, the size of the training set, got {batch_size}")
    train, augment = data.train.pixels, CropFlip()
    if isinstance(train, ImageFiles):
        scaling = train.preprocessing
        if scaling.resize is None or scaling.crop is None:
            raise ValueError("training on images in files needs one size; give resize and crop")
        augment = RandomResizedCropFlip(scaling.crop)
        train = replace(train, preprocessing=replace(scaling, crop=scaling.resize))
    height, width = train.shape[1:3]
    if min(height, width) <= PADDING:
        raise ValueError(
            f"images of {width}x{height} pixels are too small to pad by {PADDING}; use images of at least "
            f"{PADDING + 1}x{PADDING + 1}"
        )
    mean, std = normalisation or (data.mean, data.std)
    loaders = (
        InMemoryDL(
            ArrayDataset(images, labels, data.classes, split_idx),
            bs=batch_size * (1 + split_idx),
            shuffle=split_idx == 0,
            drop_last=split_idx == 0,
            after_batch=[
                augment,  # in both loaders: fastai applies it by the split
                PixelNormalize.from_stats(mean, std, cuda=False),
            ],
        )
        for split_idx, (images, labels) in enumerate(((train, data.train.labels), (data.test.pixels, data.test.labels)))
    )
    return DataLoaders(*loaders, device=resolve_device(device or default_device()))

"""fastai DataLoaders over arrays, or files: batches are indexed, augmented and normalised as tensors on the device."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import fastai.vision.data  # noqa: F401 (gives show_batch its grid of images)
import numpy as np
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import Category, CategoryMap, Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import TensorCategory, TensorImage, to_detach
from fastai.vision.core import PILImage
from PIL import Image
from torch import Tensor

from freqfast.compute.precision import default_device, resolve_device
from freqfast.data.augmentation import PADDING, CropFlip, RandomResizedCropFlip
from freqfast.data.image_files import AS_THEY_ARE, ImageFiles, upright
from freqfast.data.images import ImageData, Images
from freqfast.preprocessing import Preprocessing


class ArrayDataset:
    """Images and labels as tensors, item by item for fastai's tools and in batches for `InMemoryDL`.

    Args:
        images: The images; those in files are decoded batch by batch.
        split_idx: 0 for training (augmented), 1 for validation.
        is_labelled: Whether batches have labels.
    """

    n_inp = 1

    def __init__(self, images: Images, split_idx: int, is_labelled: bool = True) -> None:
        self.in_files = isinstance(images.pixels, ImageFiles)
        self.pixels: Any = images.pixels if self.in_files else torch.as_tensor(images.pixels)
        self.labels = torch.as_tensor(images.labels) if is_labelled else None
        self.vocab, self.split_idx = CategoryMap(list(images.classes or ()), sort=False), split_idx
        self.c = len(self.vocab)
        self.loss_func = CrossEntropyLossFlat()  # for a Learner that is given none

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Images uint8 ``(B, 3, H, W)``, channels last in memory, and labels ``(B,)`` unless there are none."""
        if self.in_files:
            pixels = torch.from_numpy(np.asarray(self.pixels[np.asarray(rows)]))
        else:
            pixels = self.pixels[torch.as_tensor(rows, device=self.pixels.device)]
        images = TensorImage(pixels.permute(0, 3, 1, 2))
        if self.labels is None:
            return (images,)
        return images, TensorCategory(self.labels[torch.as_tensor(rows, device=self.labels.device)])

    def batches(self, chunks: Iterable[Sequence[int]]) -> Iterator[tuple[Tensor, ...]]:
        """A batch for each chunk of rows; batches of files are decoded in threads, while the one before is used."""
        return _ahead(self.batch, chunks) if self.in_files else map(self.batch, chunks)

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
        if not self.in_files:
            self.pixels = self.pixels.to(device)
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
        if isinstance(items, Tensor):
            items = items.cpu().numpy()
        if isinstance(items, np.ndarray) and items.dtype.kind not in "OSU":
            items = np.ascontiguousarray(items)
        elif not isinstance(items, ImageFiles):
            preprocessing = self.pixels.preprocessing if self.in_files else AS_THEY_ARE
            arrays = [_levels(item, number, preprocessing) for number, item in enumerate(items)]
            if len(sizes := sorted({f"{a.shape[1]}x{a.shape[0]}" for a in arrays})) > 1:
                raise ValueError(f"images must have one size, got {' and '.join(sizes)}; resize them first")
            items = np.stack(arrays) if arrays else self._no_pixels
        images = Images(items, np.zeros(len(items), np.int64), tuple(self.vocab))
        return ArrayDataset(images, self.split_idx, is_labelled=False)

    @property
    def _no_pixels(self) -> Any:
        return self.pixels[:0] if self.in_files else np.empty((0, *self.pixels.shape[1:]), np.uint8)

    def new_empty(self) -> "ArrayDataset":
        """The same data set without its images, for exports."""
        return ArrayDataset(Images(self._no_pixels, np.empty(0, np.int64), tuple(self.vocab)), self.split_idx)


def _levels(item: Any, number: int, preprocessing: Preprocessing) -> np.ndarray:
    """The RGB levels of an image in any form that fastai reads, scaled and cropped."""
    try:
        opened = item if isinstance(item, Image.Image) else PILImage.create(item, mode=None)  # fastai would make it RGB
        return preprocessing.frame(upright(opened))
    except Exception as error:  # of many kinds, for other types and for corrupt files
        if isinstance(error, OSError) and error.filename is not None:  # it is missing, a folder or closed to us
            raise
        name = item if isinstance(item, (str, Path)) else f"image {number}"
        raise ValueError(
            f"{name} cannot be used as an image: {error}; give a uint8 array (H, W) or (H, W, 3), a file, bytes of one "
            "or an image of Pillow's"
        ) from None


def _ahead(make: Callable, parts: Iterable) -> Iterator:
    """What a function returns for each part, in order; it is called in a thread, two parts ahead."""
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future] = deque()
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
    preprocessing: Preprocessing | None = None,
) -> DataLoaders:
    """Make fastai DataLoaders of a data set: ``(TensorImage, TensorCategory)`` batches, normalised, channels last.

    Training images are randomly cropped (4 pixels of reflected padding) and flipped. Images that stay in files are
    decoded in threads ahead of their use. For training, their shorter side is scaled and a square is cut out of the
    middle, which a `RandomResizedCropFlip` on the device crops and flips.

    Args:
        data: The data.
        batch_size: Samples per training batch; validation batches are twice as large.
        device: Where batches live; a CUDA GPU if there is one, else the CPU, if None.
        preprocessing: How the network's images are normalised; by default as the data is.

    Raises:
        ValueError: If `batch_size` is not positive or exceeds the training set, images are too small to crop, images in
            files have no `resize` or `crop`, or the device is not available.
    """
    if not 1 <= batch_size <= len(data.train):
        raise ValueError(f"batch_size must lie in 1..{len(data.train)}, the size of the training set, got {batch_size}")
    train, augment = data.train, CropFlip()
    if isinstance(files := train.pixels, ImageFiles):
        scaling = files.preprocessing
        if scaling.resize is None or scaling.crop is None:
            raise ValueError("training on images in files needs one size; give resize and crop")
        augment = RandomResizedCropFlip(scaling.crop)
        train = replace(train, pixels=ImageFiles(files.paths, replace(scaling, crop=scaling.resize)))
    height, width = train.pixels.shape[1:3]
    if min(height, width) <= PADDING:
        raise ValueError(
            f"images of {width}x{height} pixels are too small to crop; use images of {PADDING + 1} or more"
        )
    preprocessing = preprocessing or Preprocessing(data.mean, data.std)
    normalise = PixelNormalize.from_stats(preprocessing.mean, preprocessing.std, cuda=False)
    loaders = (
        InMemoryDL(
            ArrayDataset(images, split_idx),
            bs=batch_size * (1 + split_idx),
            shuffle=split_idx == 0,
            drop_last=split_idx == 0,
            after_batch=[augment, normalise],  # in both loaders: fastai applies what augments by the split
        )
        for split_idx, images in enumerate((train, data.test))
    )
    return DataLoaders(*loaders, device=resolve_device(device or default_device()))

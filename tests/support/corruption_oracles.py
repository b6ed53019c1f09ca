"""A second, slow definition of each corruption, one image at a time, by NumPy, SciPy, scikit-image and Pillow.

Written from the published parameters and definitions, without a look at the package. A definition takes one uint8
``(H, W, 3)`` image, a ``numpy.random.Generator`` and its parameters, and returns a uint8 image.
"""

import tomllib
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage.color
import skimage.filters
from PIL import Image
from scipy import ndimage

from tests.support.corrupted import read_frost

PUBLISHED = tomllib.loads(Path(__file__).with_name("published_parameters.toml").read_text())
SIDES = {"cifar10": 32, "tiny-imagenet": 64, "imagenet": 224}


def define(images, name, severity, rng, frost_dir=None, table="cifar10"):
    """The definition of a corruption on each image in turn, ``(N, H, W, 3)``."""
    options = {parameter: values[severity - 1] for parameter, values in PUBLISHED[table][name].items()}
    if name == "frost":
        options |= {
            "photographs": read_frost(frost_dir),
            "reduced": {"cifar10": 0.2, "tiny-imagenet": 0.3}.get(table, 1),
        }
    if name in ("frost", "elastic_transform"):
        options["share"] = min(images.shape[1:3]) / SIDES[table]  # their lengths are shares of the side
    return np.stack([globals()[name](image, rng, **options) for image in images])


def levels(x):
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian(x, sigma, **options):
    axis = 2 if x.ndim == 3 else None
    return skimage.filters.gaussian(x, sigma=sigma, channel_axis=axis, **{"mode": "nearest", **options})


def gaussian_noise(image, rng, scale):
    return levels(image / 255 + rng.normal(scale=scale, size=image.shape))


def shot_noise(image, rng, rate):
    return levels(rng.poisson(image / 255 * rate) / rate)


def impulse_noise(image, rng, amount):
    hit, salt = rng.random(image.shape) <= amount, rng.random(image.shape) <= 0.5
    return np.where(hit, np.where(salt, 255, 0), image).astype(np.uint8)


def speckle_noise(image, rng, scale):
    x = image / 255
    return levels(x + x * rng.normal(scale=scale, size=image.shape))


def gaussian_blur(image, rng, sigma):
    return levels(gaussian(image / 255, sigma))


def brightness(image, rng, amount):
    hsv = skimage.color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + amount, 0, 1)
    return levels(skimage.color.hsv2rgb(hsv))


def contrast(image, rng, factor):
    x = image / 255
    mean = x.mean(axis=(0, 1))
    return levels((x - mean) * factor + mean)


def saturate(image, rng, factor, offset):
    hsv = skimage.color.rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return levels(skimage.color.hsv2rgb(hsv))


def pixelate(image, rng, fraction):
    height, width = image.shape[:2]
    coarse = Image.fromarray(image).resize((int(width * fraction), int(height * fraction)), Image.Resampling.BOX)
    return np.asarray(coarse.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(image, rng, quality):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=quality)
    return np.asarray(Image.open(buffer))


def defocus_blur(image, rng, radius, alias_blur):
    reach, blur = (8, 1) if radius <= 8 else (radius, 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)  # as the published kernels: flat regions show it
    disk = ndimage.gaussian_filter(disk / disk.sum(), alias_blur, radius=blur, mode="mirror")
    return levels(np.stack([ndimage.correlate(image[..., c] / 255, disk, mode="mirror") for c in range(3)], -1))


def glass_blur(image, rng, sigma, max_delta, iterations):
    (height, width), far = image.shape[:2], max_delta
    x = levels(gaussian(image / 255, sigma))
    for _ in range(iterations):
        if far == 1:
            moves = rng.integers(-1, 1, size=(height, width, 2))[2:, 2:, ::-1]
        else:
            moves = rng.integers(0, 2 * far, size=(2, height - 2 * far, width - 2 * far)).transpose(1, 2, 0) - far
        for h in range(height - far, far, -1):
            for w in range(width - far, far, -1):
                dy, dx = moves[h - far - 1, w - far - 1]
                x[h, w] = x[h + dy, w + dx]
    return levels(gaussian(x / 255, sigma))


def magick_motion(x, radius, sigma, degrees):
    """One-sided trail of ``2 radius + 1`` pixels, on levels: rounded to 16 bits, then truncated to 8."""
    height, width = x.shape[:2]
    steps = range(2 * radius + 1)
    weights = np.array([np.exp(-(i**2) / (2 * sigma**2)) for i in steps])
    weights /= weights.sum()
    total = np.zeros(x.shape)
    for i, weight in zip(steps, weights, strict=True):
        dx = int(np.ceil(i * np.cos(np.deg2rad(degrees)) - 0.5))
        dy = int(np.ceil(i * np.sin(np.deg2rad(degrees)) - 0.5))
        rows = np.clip(np.arange(height) + dy, 0, height - 1)
        columns = np.clip(np.arange(width) + dx, 0, width - 1)
        total += weight * x[rows][:, columns]
    return (np.floor(total * 257 + 0.5) // 257).astype(np.uint8)


def motion_blur(image, rng, radius, sigma):
    return magick_motion(image, radius, sigma, rng.uniform(-45, 45))


def clipped_zoom(x, factor):
    for axis in (0, 1):
        size = x.shape[axis]
        crop = int(np.ceil(size / factor))
        centre = x.take((size - crop) // 2 + np.arange(crop), axis)
        zoomed = ndimage.zoom(centre, [factor if a == axis else 1 for a in range(x.ndim)], order=1)
        x = zoomed.take((zoomed.shape[axis] - size) // 2 + np.arange(size), axis)
    return x


def zoom_blur(image, rng, stop, step):
    factors = np.arange(1, stop, step)
    x = image / 255
    return levels((x + sum(clipped_zoom(x, factor) for factor in factors)) / (len(factors) + 1))


def snow(image, rng, loc, scale, zoom, threshold, blur_radius, blur_sigma, blend):
    x = image / 255
    layer = clipped_zoom(rng.normal(loc, scale, image.shape[:2]), zoom)
    layer[layer < threshold] = 0
    layer = magick_motion(levels(layer), blur_radius, blur_sigma, rng.uniform(-135, -45))[..., None] / 255
    gray = (x @ [0.299, 0.587, 0.114])[..., None]
    x = blend * x + (1 - blend) * np.maximum(x, 1.5 * gray + 0.5)
    return levels(x + layer + np.rot90(layer, 2))


def frost(image, rng, image_weight, frost_weight, photographs, reduced, share):
    """``photographs``: the five frost images as Pillow reads them, at full size."""
    photograph = photographs[rng.integers(5)].astype(float)
    sizes, whole = image.shape[:2], photograph.shape[:2]
    step = min(1 / (reduced * share), *(length / (size + 1) for length, size in zip(whole, sizes, strict=True)))
    corner = [rng.integers(round(length / step) - size) for length, size in zip(whole, sizes, strict=True)]
    # Corners of pixels meet; the border's are repeated.
    y, x = ((np.arange(at, at + size) + 0.5) * step - 0.5 for at, size in zip(corner, sizes, strict=True))
    crop = np.rint(bilinear(photograph, *np.meshgrid(y, x, indexing="ij"), mode="nearest"))
    return np.clip(image_weight * image.astype(float) + frost_weight * crop, 0, 255).astype(np.uint8)


def plasma(size, decay, uniform):
    """Diamond-square on a torus, one point at a time; ``uniform(low, high, shape)`` draws a generation's heights."""
    grid = np.zeros((size, size))
    step, roughness = size, 100.0
    while step > 1:
        half, spread, cells = step // 2, roughness**2, size // step
        corners = ((-half, -half), (-half, half), (half, -half), (half, half))
        cross = ((-half, 0), (half, 0), (0, -half), (0, half))
        for dy, dx, around in ((half, half, corners), (0, half, cross), (half, 0, cross)):
            draws = uniform(-spread, spread, (cells, cells))
            for i in range(cells):
                for j in range(cells):
                    y, x = i * step + dy, j * step + dx
                    near = [grid[(y + a) % size, (x + b) % size] for a, b in around]
                    grid[y, x] = sum(near) / 4 + draws[i, j]
        step, roughness = half, roughness / decay
    grid -= grid.min()
    return grid / grid.max()


def fog(image, rng, amount, wibble_decay):
    x = image / 255
    brightest = x.max()
    height, width = image.shape[:2]
    landscape = plasma(2 ** int(np.ceil(np.log2(max(height, width)))), wibble_decay, rng.uniform)
    return levels((x + amount * landscape[:height, :width, None]) * brightest / (brightest + amount))


def canny(image, low, high):
    """Canny's edges without smoothing: L1 gradient, four directions by angle, 8-connected hysteresis."""
    gy, gx = (ndimage.sobel(image.astype(float), axis=axis, mode="nearest") for axis in (0, 1))
    size = np.pad(np.abs(gx) + np.abs(gy), 1)
    angle = np.rad2deg(np.arctan2(np.abs(gy), np.abs(gx)))
    crest = np.zeros(image.shape, dtype=bool)
    for i, j in np.argwhere(size[1:-1, 1:-1] > low):
        here, y, x = size[i + 1, j + 1], i + 1, j + 1
        if angle[i, j] < 22.5:
            crest[i, j] = here > size[y, x - 1] and here >= size[y, x + 1]
        elif angle[i, j] > 67.5:
            crest[i, j] = here > size[y - 1, x] and here >= size[y + 1, x]
        else:
            side = -1 if (gx[i, j] < 0) != (gy[i, j] < 0) else 1
            crest[i, j] = here > size[y - 1, x - side] and here > size[y + 1, x + side]
    parts, _ = ndimage.label(crest, structure=np.ones((3, 3)))
    strong = np.unique(parts[crest & (size[1:-1, 1:-1] > high)])
    return crest & np.isin(parts, strong)


def chamfer(edges):
    """Length of the shortest way to an edge by steps of 1, diagonals of 1.4 and knight's moves of 2.1969."""
    y, x = np.indices(edges.shape).reshape(2, -1)
    ey, ex = np.nonzero(edges)
    if not len(ey):
        return np.full(edges.shape, np.inf)
    offsets = np.abs(np.stack([y[:, None] - ey, x[:, None] - ex]))
    long, short = offsets.max(axis=0), offsets.min(axis=0)
    flat = short * 2.1969 + (long - 2 * short)
    steep = (long - short) * 2.1969 + (2 * short - long) * 1.4
    return np.where(long >= 2 * short, flat, steep).min(axis=1).reshape(edges.shape)


def equalise(image):
    counts = np.bincount(image.ravel(), minlength=256)
    lowest = counts[image.min()]
    if lowest == image.size:
        return image
    table = (np.cumsum(counts) - lowest) * (255 / (image.size - lowest))
    return np.rint(np.clip(table, 0, 255)).astype(int)[image]


def water(liquid):
    """Brightness of the water, 0 to 1, from its depth in levels."""
    box = np.ones((3, 3))
    distance = np.minimum(chamfer(canny(liquid, 50, 150)), 20)
    smooth = equalise((ndimage.correlate(distance, box, mode="mirror") / 9).astype(int))
    relief = np.clip(ndimage.correlate(smooth, [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], mode="mirror"), 0, 255)
    shine = liquid * np.rint(ndimage.correlate(relief.astype(float), box, mode="mirror") / 9)
    return shine / max(shine.max(), 1)


def spatter(image, rng, loc, scale, sigma, threshold, intensity, mud):
    x = image / 255
    liquid = gaussian(rng.normal(loc, scale, image.shape[:2]), sigma)
    liquid[liquid < threshold] = 0
    if not mud:
        depth = (liquid * 255).astype(int) % 256  # unsigned 8 bits, without a clip before them
        return levels(x + intensity * water(depth)[..., None] * np.array([175, 238, 238]) / 255)
    cover = gaussian((liquid > threshold).astype(float), intensity)[..., None]
    cover[cover < 0.8] = 0
    return levels(x * (1 - cover) + cover * np.array([63, 42, 20]) / 255)


def affine_source(moves, height, width):
    """Where pixels of an image come from, rows and columns, when three points move by ``moves`` (as x, y)."""
    points = (width // 2, height // 2) + min(height, width) // 3 * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    moved = np.column_stack([points + moves, np.ones(3)])
    back = np.linalg.solve(moved, points)  # [x, y, 1] of the result @ back = [x, y] of the source
    y, x = np.indices((height, width))
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back
    return np.floor(source[..., ::-1] * 32 + 0.5) / 32


def bilinear(x, rows, columns, mode):
    channels = (ndimage.map_coordinates(x[..., c], (rows, columns), order=1, mode=mode) for c in range(3))
    return np.stack(list(channels), axis=-1)


def elastic_transform(image, rng, alpha, sigma, affine, share):
    shape = image.shape[:2]
    alpha, sigma, affine = alpha * share, sigma * share, affine * share
    source = affine_source(rng.uniform(-affine, affine, (3, 2)), *shape)
    x = bilinear(image / 255, source[..., 0], source[..., 1], mode="mirror")
    if alpha:
        noise = (rng.uniform(-1, 1, shape) for _ in range(2))
        dx, dy = (gaussian(field, sigma, mode="reflect", truncate=3) * alpha for field in noise)
        rows, columns = np.indices(shape)
        x = bilinear(x, rows + dy, columns + dx, mode="reflect")
    return levels(x + 1e-9)

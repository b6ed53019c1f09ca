"""A second, slow definition of each corruption, one image at a time, by NumPy, SciPy, scikit-image and Pillow.

Written from the published parameters and definitions, without a look at the package. A definition takes one uint8
``(32, 32, 3)`` image, a severity and a ``numpy.random.Generator``, and returns a uint8 image.
"""

from io import BytesIO

import numpy as np
import skimage.color
import skimage.filters
from PIL import Image
from scipy import ndimage

from tests.support.corrupted import read_frost


def define(images, name, severity, rng, frost_dir=None):
    """The definition of a corruption on each image in turn, ``(N, 32, 32, 3)``."""
    options = {"photographs": read_frost(frost_dir)} if name == "frost" else {}
    return np.stack([globals()[name](image, severity, rng, **options) for image in images])


def levels(x):
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian(x, sigma, **options):
    axis = 2 if x.ndim == 3 else None
    return skimage.filters.gaussian(x, sigma=sigma, channel_axis=axis, **{"mode": "nearest", **options})


def gaussian_noise(image, severity, rng):
    scale = [0.04, 0.06, 0.08, 0.09, 0.10][severity - 1]
    return levels(image / 255 + rng.normal(scale=scale, size=image.shape))


def shot_noise(image, severity, rng):
    rate = [500, 250, 100, 75, 50][severity - 1]
    return levels(rng.poisson(image / 255 * rate) / rate)


def impulse_noise(image, severity, rng):
    amount = [0.01, 0.02, 0.03, 0.05, 0.07][severity - 1]
    hit, salt = rng.random(image.shape) <= amount, rng.random(image.shape) <= 0.5
    return np.where(hit, np.where(salt, 255, 0), image).astype(np.uint8)


def speckle_noise(image, severity, rng):
    scale = [0.06, 0.1, 0.12, 0.16, 0.2][severity - 1]
    x = image / 255
    return levels(x + x * rng.normal(scale=scale, size=image.shape))


def gaussian_blur(image, severity, rng):
    return levels(gaussian(image / 255, [0.4, 0.6, 0.7, 0.8, 1.0][severity - 1]))


def brightness(image, severity, rng):
    amount = [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]
    hsv = skimage.color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + amount, 0, 1)
    return levels(skimage.color.hsv2rgb(hsv))


def contrast(image, severity, rng):
    factor = [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1]
    x = image / 255
    mean = x.mean(axis=(0, 1))
    return levels((x - mean) * factor + mean)


def saturate(image, severity, rng):
    factor, offset = [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)][severity - 1]
    hsv = skimage.color.rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return levels(skimage.color.hsv2rgb(hsv))


def pixelate(image, severity, rng):
    fraction = [0.95, 0.9, 0.85, 0.75, 0.65][severity - 1]
    small = int(32 * fraction)
    coarse = Image.fromarray(image).resize((small, small), Image.Resampling.BOX)
    return np.asarray(coarse.resize((32, 32), Image.Resampling.BOX))


def jpeg_compression(image, severity, rng):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=[80, 65, 58, 50, 40][severity - 1])
    return np.asarray(Image.open(buffer))


def defocus_blur(image, severity, rng):
    radius, sigma = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)][severity - 1]
    y, x = np.mgrid[-8:9, -8:9]
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)  # as the published kernels: flat regions show it
    disk = ndimage.gaussian_filter(disk / disk.sum(), sigma, radius=1, mode="mirror")
    return levels(np.stack([ndimage.correlate(image[..., c] / 255, disk, mode="mirror") for c in range(3)], -1))


def glass_blur(image, severity, rng):
    sigma, passes = [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)][severity - 1]
    x = levels(gaussian(image / 255, sigma))
    for _ in range(passes):
        moves = rng.integers(-1, 1, size=(32, 32, 2)).tolist()
        for h in range(31, 1, -1):
            for w in range(31, 1, -1):
                dx, dy = moves[h][w]
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


def motion_blur(image, severity, rng):
    radius, sigma = [(6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)][severity - 1]
    return magick_motion(image, radius, sigma, rng.uniform(-45, 45))


def clipped_zoom(x, factor):
    size = len(x)
    crop = int(np.ceil(size / factor))
    top = (size - crop) // 2
    centre = x[top : top + crop, top : top + crop]
    zoomed = ndimage.zoom(centre, (factor, factor) + (1,) * (x.ndim - 2), order=1)
    trim = (len(zoomed) - size) // 2
    return zoomed[trim : trim + size, trim : trim + size]


def zoom_blur(image, severity, rng):
    factors = np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][severity - 1], 0.01)
    x = image / 255
    return levels((x + sum(clipped_zoom(x, factor) for factor in factors)) / (len(factors) + 1))


def snow(image, severity, rng):
    loc, scale, factor, threshold, radius, sigma, blend = [
        (0.1, 0.2, 1.0, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ][severity - 1]
    x = image / 255
    layer = clipped_zoom(rng.normal(loc, scale, (32, 32)), factor)
    layer[layer < threshold] = 0
    layer = magick_motion(levels(layer), radius, sigma, rng.uniform(-135, -45))[..., None] / 255
    gray = (x @ [0.299, 0.587, 0.114])[..., None]
    x = blend * x + (1 - blend) * np.maximum(x, 1.5 * gray + 0.5)
    return levels(x + layer + np.rot90(layer, 2))


def frost(image, severity, rng, photographs):
    """``photographs``: the five frost images as Pillow reads them, at full size."""
    image_weight, frost_weight = [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)][severity - 1]
    small = photographs[rng.integers(5)][2::5, 2::5]
    top, left = (rng.integers(side - 32) for side in small.shape[:2])
    crop = small[top : top + 32, left : left + 32]
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


def fog(image, severity, rng):
    amount, decay = [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)][severity - 1]
    x = image / 255
    brightest = x.max()
    return levels((x + amount * plasma(32, decay, rng.uniform)[..., None]) * brightest / (brightest + amount))


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


def spatter(image, severity, rng):
    loc, scale, sigma, threshold, strength = [
        (0.62, 0.1, 0.7, 0.7, 0.5),
        (0.65, 0.1, 0.8, 0.7, 0.5),
        (0.65, 0.3, 1.0, 0.69, 0.5),
        (0.65, 0.1, 0.7, 0.69, 0.6),
        (0.65, 0.1, 0.5, 0.68, 0.6),
    ][severity - 1]
    x = image / 255
    liquid = gaussian(rng.normal(loc, scale, (32, 32)), sigma)
    liquid[liquid < threshold] = 0
    if severity <= 3:
        depth = (liquid * 255).astype(int) % 256  # unsigned 8 bits, without a clip before them
        return levels(x + strength * water(depth)[..., None] * np.array([175, 238, 238]) / 255)
    cover = gaussian((liquid > threshold).astype(float), strength)[..., None]
    cover[cover < 0.8] = 0
    return levels(x * (1 - cover) + cover * np.array([63, 42, 20]) / 255)


def affine_source(moves):
    """Where pixels of a 32 x 32 image come from, rows and columns, when three points move by ``moves`` (as x, y)."""
    points = np.array([[26, 26], [26, 6], [6, 6]], dtype=float)
    moved = np.column_stack([points + moves, np.ones(3)])
    back = np.linalg.solve(moved, points)  # [x, y, 1] of the result @ back = [x, y] of the source
    y, x = np.indices((32, 32))
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back
    return np.floor(source[..., ::-1] * 32 + 0.5) / 32


def bilinear(x, rows, columns, mode):
    channels = (ndimage.map_coordinates(x[..., c], (rows, columns), order=1, mode=mode) for c in range(3))
    return np.stack(list(channels), axis=-1)


def elastic_transform(image, severity, rng):
    alpha, sigma, affine = [(0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)][
        severity - 1
    ]
    source = affine_source(rng.uniform(-affine, affine, (3, 2)))
    x = bilinear(image / 255, source[..., 0], source[..., 1], mode="mirror")
    if alpha:
        dx, dy = (gaussian(rng.uniform(-1, 1, (32, 32)), sigma, mode="reflect", truncate=3) * alpha for _ in range(2))
        rows, columns = np.indices((32, 32))
        x = bilinear(x, rows + dy, columns + dx, mode="reflect")
    return levels(x + 1e-9)

"""Names, dimensions and limits of the schema that the package's docstring describes."""

SCHEMA = 2
"""Version of the schema that is written here, and the newest that is read; 1 is read too."""

MAX_BYTES = 2**31
"""Largest dataset that is written or read: half a million spectra of 32x32."""

LIBVER = ("v110", "v110")
"""HDF5's file format of 2016. It has checksums where the one before had none, so that damage is found before libhdf5
crashes or hangs on it, and small files are smaller."""

DIMS = {
    "power": ("filter", "fy", "fx"),
    "response_db": ("filter", "fy", "fx"),
    "phase": ("filter", "channel", "fy", "fx"),
    "weight": ("filter", "channel", "ky", "kx"),
    "shares": ("filter", "band"),
    "band_index": ("filter",),
    "energy": ("filter",),
    "band_lower": ("band",),
    "band_upper": ("band",),
    "proportion": ("band",),
    "energy_proportion": ("band",),
    "target": ("band",),
    "log_gain": ("filter", "gain_fy", "gain_fx"),
}

HISTORY = ("power", "weight", "shares", "band_index", "proportion", "log_gain")
"""The datasets that are written by epoch, too."""

UNITS = {
    "response_db": "dB",
    "phase": "rad",
    **dict.fromkeys(("ky", "kx"), "pixel"),
    **dict.fromkeys(("fy", "fx", "gain_fy", "gain_fx", "band_lower", "band_upper"), "cycles/pixel"),
}
"""Viewers write these after a name. A dataset with units has no long name: silx and h5web would show that alone."""

LONG_NAMES = {
    "power": "power per frequency",
    "weight": "filter weight",
    "shares": "share of the filter's energy",
    "band_index": "index of the filter's band",
    "energy": "squared L2 norm of the filter",
    "proportion": "share of the filters",
    "energy_proportion": "share of the layer's energy",
    "target": "enforced share of the filters",
    "log_gain": "natural logarithm of the power gain",
}

DESCRIPTIONS = {
    "response_db": "power gain for white noise in all input channels, 0 dB at unit gain",
    "phase": "of the kernel's DFT about its centre; the layer, a correlation, shifts an image's phases by the opposite",
}
"""Descriptions of datasets that have units and need more words."""

NORMALIZATION = "sums over fy and fx to the squared L2 norm of the filter's weight"
"""The normalization of the power."""

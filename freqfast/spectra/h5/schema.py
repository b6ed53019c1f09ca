"""Names, dimensions and attributes of the datasets in the schema that the package's docstring describes."""

SCHEMA = 2
"""Version of the schema that is written and read here."""

MAX_BYTES = 2**31
"""Largest dataset that is written or read: half a million spectra of 32x32."""

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

ATTRIBUTES = {
    "power": {
        "long_name": "power per frequency",
        "interpretation": "image",
        "normalization": "sums over fy and fx to the squared L2 norm of the filter's weight",
    },
    "response_db": {
        "units": "dB",
        "description": "power gain for white noise in all input channels, 0 dB at unit gain",
        "interpretation": "image",
    },
    "phase": {
        "units": "rad",
        "description": "of the kernel's DFT about its centre; the layer, a correlation, shifts an image's phases by "
        "the opposite",
    },
    "weight": {"long_name": "filter weight"},
    "shares": {"long_name": "share of the filter's energy"},
    "band_index": {"long_name": "index of the filter's band"},
    "energy": {"long_name": "squared L2 norm of the filter"},
    "proportion": {"long_name": "share of the filters"},
    "energy_proportion": {"long_name": "share of the layer's energy"},
    "target": {"long_name": "enforced share of the filters"},
    "log_gain": {"long_name": "natural logarithm of the power gain"},
    **{key: {"units": "pixel"} for key in ("ky", "kx")},
    **{key: {"units": "cycles/pixel"} for key in ("fy", "fx", "gain_fy", "gain_fx", "band_lower", "band_upper")},
}
"""Viewers write units after a name. A dataset with units has no long name: silx and h5web would show that alone."""

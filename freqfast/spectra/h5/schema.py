"""Names, dimensions and limits of the schema that the package's docstring describes."""

SCHEMA = 1
"""Version of the schema that is written here, and the newest that is read."""

MAX_BYTES = 2**31
"""Largest dataset that is written or read: half a million spectra of 32x32."""

LIBVER = ("v110", "v110")
"""HDF5's file format of 2016. It has checksums where the one before had none, so that damage is found before libhdf5
crashes or hangs on it, and small files are smaller."""

CPP = "cycles/pixel"
DIMS = {
    "power": ("filter", "fy", "fx"),
    "response_db": ("filter", "fy", "fx"),
    "phase": ("filter", "channel", "fy", "fx"),
    "weight": ("filter", "channel", "ky", "kx"),
    "shares": ("filter", "band"),
    "classes": ("filter",),
    "energy": ("filter",),
    "band_lower": ("band",),
    "band_upper": ("band",),
    "proportion": ("band",),
    "energy_proportion": ("band",),
    "target": ("band",),
    "log_gain": ("filter", "gain_fy", "gain_fx"),
}

HISTORY = ("power", "weight", "shares", "classes", "proportion", "log_gain")
"""The datasets that are written by epoch, too."""

LONG_NAMES = {
    "power": "power per frequency",
    "response_db": "frequency response (dB)",
    "phase": "phase about the kernel's centre (rad)",
    "weight": "filter weight",
    "shares": "share of the filter's energy",
    "classes": "index of the filter's band",
    "energy": "squared L2 norm of the filter",
    "band_lower": f"lower edge ({CPP})",
    "band_upper": f"upper edge ({CPP})",
    "proportion": "share of the filters",
    "energy_proportion": "share of the layer's energy",
    "target": "enforced share of the filters",
    "log_gain": "log power gain (nepers of power)",
    "ky": "y in the kernel (pixel)",
    "kx": "x in the kernel (pixel)",
    **{name: f"{name} ({CPP})" for name in ("fy", "fx", "gain_fy", "gain_fx")},
}

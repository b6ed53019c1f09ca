"""Filter spectra in HDF5: write and read. Files open as pictures in silx, h5web and HDFView, with named axes in xarray.

Schema 2, where ``@`` marks attributes, ``[dims]`` HDF5 dimension scales of the same group, ``?`` what may be absent::

    {
      "@NX_class": "NXroot", "@default": "entry", "@freqfast_schema": 2,
      "@creator": "freqfast", "@creator_version": "...", "@file_name": "...", "@file_time": "ISO 8601 with zone",
      "@HDF5_Version": "...", "@h5py_version": "...",
      "entry": {
        "@NX_class": "NXentry", "@default": "spectra",
        "title": "UTF-8 text[]",
        "spectra": {
          "@NX_class": "NXdata", "@signal": "power", "@axes": ["filter", "fy", "fx"],
          "@auxiliary_signals": ["response_db"],
          "@title": "...", "@layer": "name of the convolution in its model",
          "power":             "float32[filter, fy, fx]; sums to the filter's squared L2 norm",
          "response_db":       "float32[filter, fy, fx]; power gain in dB: 0 at unit gain, cut 120 below the peak",
          "phase?":            "float32[filter, channel, fy, fx]; rad, about the kernel's centre; up to 4 channels",
          "weight":            "float32[filter, channel, ky, kx]; the filters as applied in eval mode",
          "shares":            "float32[filter, band]; each filter's shares of energy, sum to 1 (0 without energy)",
          "band_index":        "int64[filter]; the position in band of the filter's largest share (0 without energy)",
          "energy":            "float64[filter]; squared L2 norm",
          "band_lower":        "float64[band]; cycles/pixel, included",
          "band_upper":        "float64[band]; cycles/pixel, excluded except for the last",
          "proportion":        "float64[band]; share of the filters",
          "energy_proportion": "float64[band]; share of the layer's energy",
          "target?":           "float64[band]; proportion that training enforced",
          "log_gain?":         "float32[filter, gain_fy, gain_fx], without filter where all filters share gains",
          "filter": "int64", "channel": "int64", "ky": "int64, pixel", "kx": "int64, pixel", "band": "UTF-8 name",
          "fy": "float64, cycles/pixel", "fx": "same as fy",
          "gain_fy?": "float64, cycles/pixel, the kernel's DFT grid", "gain_fx?": "float64, cycles/pixel"
        },
        "training?": {
          "@NX_class": "NXdata", "@signal": "power", "@axes": ["epoch", "filter", "fy", "fx"],
          "@default_slice": ["last record", "0", ".", "."],
          "@title": "...", "@layer": "name of the convolution in its model",
          "power":       "float32[epoch, filter, fy, fx]",
          "weight":      "float32[epoch, filter, channel, ky, kx]",
          "shares":      "float32[epoch, filter, band]",
          "band_index":  "int64[epoch, filter]",
          "proportion":  "float64[epoch, band]",
          "log_gain?":   "float32[epoch, filter, gain_fy, gain_fx], without filter where all filters share gains",
          "epoch": "int64, epochs trained", "filter": "int64", "channel": "int64",
          "ky": "int64, pixel", "kx": "int64, pixel", "band": "UTF-8 name",
          "fy": "float64, cycles/pixel", "fx": "same as fy",
          "gain_fy?": "float64, cycles/pixel, the kernel's DFT grid", "gain_fx?": "float64, cycles/pixel"
        },
        "layers?": {
          "@NX_class": "NXcollection",
          "<name of the first layer>": "the group /entry/spectra itself, by a hard link",
          "<name of each other layer>": "NXdata like /entry/spectra"
        },
        "provenance": {"@NX_class": "NXcollection", "@<name>": "UTF-8 text, int64 or float64"}
      }
    }

Datasets with a unit (dB, rad, pixel, cycles/pixel) have it as ``@units``, which viewers write after the name; others,
except axes, have a ``@long_name``. ``response_db`` and ``phase`` have a ``@description``, ``power`` and ``response_db``
the ``@interpretation`` image, and ``power`` a ``@normalization``. ``training`` belongs to the layer of ``spectra``;
``layers`` lists all layers, in the model's order, where there are several. ``shares`` are of the spectrum on at least
32 points per axis (twice the kernel's size, if larger), also where ``power`` has another number. Readers ignore names
that they do not know, so additions keep the schema's number; any other change raises it.

The provenance in a run's file has ``recipe`` (its name, if it has one), ``seed``, ``epochs``, ``model`` with its
``model_options`` and ``callbacks`` with their arguments (both JSON), ``data`` with its ``data_sha256``, ``freqfast``
(the version), and the shell ``command``, if one started the run. What ``freqfast spectra`` exports has ``source`` (the
MODEL that was named), ``sha256`` of the file of its weights, if there is one, and the ``command``; of a run also what
the run's file has. `write_spectra` writes the provenance of the `Spectra` that it is given.

Files are untrusted: links are not followed, and storage outside the file and declared sizes out of proportion are
refused before anything is read. Files have HDF5's format of version 1.10, whose checksums find nearly all damage; but
texts have none, and a malicious file can hang or crash libhdf5.
"""

from freqfast.spectra.h5.reading import read_layers, read_spectra
from freqfast.spectra.h5.writing import write_spectra

__all__ = ["read_layers", "read_spectra", "write_spectra"]

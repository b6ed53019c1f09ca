import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqfast.spectra.h5 import read_spectra, write_spectra
from freqfast.spectral.bands import Bands


@settings(max_examples=8, deadline=None)
@given(
    filters=st.integers(1, 5),
    channels=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 5), st.integers(2, 4)),
    bands=st.integers(1, 4),
    n=st.integers(5, 9),
    epochs=st.integers(0, 2),
    gains=st.sampled_from([None, "layer", "filter"]),
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=4, unique=True),
    provenance=st.dictionaries(
        st.text("abc é/.", min_size=1), st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text("ab\nπ")
    ),
)
def test_round_trip_is_exact(tmp_path_factory, make_spectra, assert_same, bands, names, provenance, **options):
    spectra = make_spectra(
        bands=Bands.equal_area(bands, names[:bands]), target={names[0]: 1}, provenance=provenance, **options
    )
    path = tmp_path_factory.mktemp("round") / "spectra.h5"
    write_spectra(path, spectra)
    assert_same(read_spectra(path), spectra)


def test_a_file_with_everything_is_read_back(path, spectra, assert_same):
    assert_same(read_spectra(str(path)), spectra)


@pytest.mark.skipif(h5py.version.version_tuple[:2] < (3, 15), reason="groups of an older h5py keep the time")
def test_same_spectra_make_the_same_bytes(tmp_path, spectra):
    path, contents = tmp_path / "spectra.h5", set()
    for _ in range(2):
        write_spectra(path, spectra)
        with h5py.File(path) as file:
            stamp = file.attrs["file_time"].encode()
        contents.add(path.read_bytes().replace(stamp, b"-" * len(stamp)))
    assert len(contents) == 1

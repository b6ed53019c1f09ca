from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.spectra import Spectra, SpectraHistory, are_spectra_of, measure_layers, measure_spectra, spatial_layers
from freqfast.spectral.bands import Bands, band_shares, classify_filters, frequency_proportion
from freqfast.spectral.modulation import apply_modulation, bake_modulation


def conv(*shape, seed=0):
    """A convolution whose weight has this shape (filters, channels, height, width)."""
    torch.manual_seed(seed)
    return nn.Conv2d(shape[1], shape[0], shape[2:], bias=False)


def fields(filters=4, n=8, channels=2, kernel=(3, 3), bands=2, **changes):
    """Arguments of a sound `Spectra`."""
    rng, bands = np.random.default_rng(0), Bands.of(bands)
    shares = rng.random((filters, len(bands)))
    return {
        "power": rng.random((filters, n, n)),
        "weight": rng.standard_normal((filters, channels, *kernel)),
        "shares": shares / shares.sum(1, keepdims=True),
        "bands": bands,
        "layer": "conv1",
    } | changes


@pytest.mark.parametrize("shape", [(4, 1, 7, 5), (2, 50, 1, 2), (3, 3, 16, 16)])
def test_measures_what_numpy_measures(shape):
    layer = conv(*shape)
    spectra = measure_spectra(nn.Sequential(nn.Identity(), layer), n=33)
    weight = layer.weight.detach().numpy().astype(np.float64)
    power = np.fft.fftshift(np.square(abs(np.fft.fft2(weight, s=(33, 33)))).sum(1) / 33**2, axes=(-2, -1))
    np.testing.assert_allclose(spectra.power, power, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(spectra.shares, band_shares(weight), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(spectra.frequencies, np.fft.fftshift(np.fft.fftfreq(33)))
    assert (spectra.layer, spectra.target, spectra.log_gain, spectra.history) == ("1", None, None, None)
    assert {a.dtype for a in (spectra.power, spectra.weight, spectra.shares)} == {np.dtype(np.float32)}


def test_a_history_of_other_bands_is_refused():
    layer, bands = conv(4, 3, 5, 5), Bands((0, 0.2, 0.8), ("low", "high"))
    one = measure_spectra(layer, bands=bands)
    history = SpectraHistory([0], [one.power], [one.weight], [one.shares])
    assert measure_spectra(layer, bands=bands, history=history).history is history
    with pytest.raises(ValueError, match="pass the bands of its recorder"):
        measure_spectra(layer, history=history)


def test_properties_agree_with_the_functions_of_bands_and_the_power():
    spectra = measure_spectra(conv(40, 3, 5, 5), bands=3)
    assert spectra.bands == Bands.equal_area(3)
    assert Spectra(**fields(shares=np.full((4, 2), 0.5))).band_index.tolist() == [0] * 4
    np.testing.assert_array_equal(spectra.band_index, classify_filters(torch.from_numpy(spectra.shares)).numpy())
    np.testing.assert_allclose(spectra.proportion, frequency_proportion(conv(40, 3, 5, 5).weight, 3).numpy())
    rho = np.hypot(*np.meshgrid(spectra.frequencies, spectra.frequencies))
    band = np.searchsorted(spectra.bands.edges[1:-1], rho, side="right")
    power = np.array([spectra.power[:, band == b].sum() for b in range(3)])
    np.testing.assert_allclose(spectra.energy_proportion, power / spectra.power.sum(), rtol=1e-5)
    weights = np.stack([spectra.weight] * 2)
    weights[1, 0] *= 3  # one filter of nine times the energy
    history = SpectraHistory([0, 1], [spectra.power] * 2, weights, [spectra.shares] * 2)
    for weight, found in zip(weights, history.energy_proportion, strict=True):
        expected = np.average(spectra.shares, axis=0, weights=np.square(weight).sum((1, 2, 3)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_filters_are_those_that_the_layer_applies():
    model = apply_modulation(nn.Sequential(conv(4, 3, 3, 3)), seed=0)
    nn.init.normal_(model[0].log_gain)
    modulated = measure_spectra(model)
    assert modulated.log_gain.shape == (4, 3, 3)
    baked = measure_spectra(bake_modulation(model))
    assert baked.log_gain is None
    np.testing.assert_array_equal(modulated.weight, baked.weight)


def test_provenance_becomes_plain_scalars():
    values = {"seed": np.int64(3), "lr": np.float32(0.5), "recipe": "a\nb é", "loss": float("nan")}
    plain = Spectra(**fields(provenance=values)).provenance
    assert [type(v) for v in plain.values()] == [int, float, str, float]
    assert plain["recipe"] == "a\nb é"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"power": np.zeros((4, 8, 7))},
            r"power must be real numbers of shape \(filter, fy=7, fx=7\), none 0, got float",
        ),
        ({"power": np.zeros((4, 8, 8), complex)}, "real numbers"),
        ({"power": np.zeros((0, 8, 8))}, "none 0"),
        ({"weight": np.zeros((5, 2, 3, 3))}, "filter=4"),
        ({"shares": np.full((4, 3), 1 / 3)}, "band=2"),
        ({"shares": np.ones((4, 2))}, "sum to 1"),
        ({"log_gain": np.zeros((4, 3, 5))}, "kx=3"),
        ({"target": {"low": 0.5}}, "sum to 1"),
        ({"provenance": {"flag": True}}, "'flag' must be text"),
    ],
)
def test_invalid_spectra_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Spectra(**fields(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": [1, 1]}, "must increase"),
        ({"epochs": [-1, 0]}, "must increase from 0 or more"),
        ({"epochs": [0.0, 1.0]}, "history.epochs must be integers"),
        ({"shares": np.full((2, 4, 2), np.inf)}, "history.shares holds NaN or infinite values"),
        ({"log_gain": np.zeros((1, 4, 3, 3))}, "epoch=2"),
    ],
)
def test_invalid_histories_are_refused(changes, message):
    one = fields()
    records = {"epochs": [0, 1], **{k: np.stack([one[k]] * 2) for k in ("power", "weight", "shares")}}
    with pytest.raises(ValueError, match=message):
        SpectraHistory(**records | changes)
    with pytest.raises(ValueError, match="at each epoch"):
        Spectra(**fields(filters=5, history=SpectraHistory(**records)))


def test_models_and_layers_without_spectra_are_refused():
    for measure in (measure_spectra, measure_layers):
        with pytest.raises(ValueError, match="no spatial Conv2d"):
            measure(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="at least the kernel's size 7"):
        measure_spectra(conv(2, 3, 7, 7), n=5)
    huge = conv(2, 3, 3, 3).double()
    huge.weight.data.fill_(1e200)
    with pytest.raises(ValueError, match="NaN or infinite"):
        measure_spectra(huge)


def test_all_layers_are_those_that_can_be_measured():
    model = nn.Sequential(
        conv(4, 3, 7, 7), nn.Conv2d(4, 4, 3, dilation=2), conv(4, 4, 1, 1), nn.Sequential(conv(6, 4, 3, 3))
    )
    seen = []
    with pytest.warns(UserWarning, match=r"^left out: layer '1' has a dilation of \(2, 2\).* zeros in between") as told:
        measured = measure_layers(model, bands=3, progress=lambda *words: seen.append(words))
    assert len(told) == 1
    assert [spectra.layer for spectra in measured] == ["0", "3.0"]
    assert spatial_layers(model) == ["0", "1", "3.0"]
    assert seen == [(1, 2, "0"), (2, 2, "3.0")]
    (one,) = measure_layers(model, ["3.0"], bands=3)
    np.testing.assert_array_equal(measured[1].power, one.power)
    with pytest.raises(ValueError, match="layer '1' has a dilation"):
        measure_layers(model[1:2])
    model[0].weight.data.fill_(np.nan)
    with pytest.raises(ValueError, match=r"^layer '0': .*NaN or inf"):
        measure_layers(model, ["0"])


def kernel_spectra(*kernel, n=8):
    """Spectra of one filter of one channel."""
    layer = nn.Conv2d(1, 1, np.shape(kernel), bias=False)
    layer.weight.data = torch.tensor(kernel, dtype=torch.float32)[None, None]
    return measure_spectra(layer, n=n)


def test_response_in_db():
    np.testing.assert_allclose(kernel_spectra((0, 0), (0, 10)).response_db, 20, atol=1e-4)  # ten times the amplitude
    mean = kernel_spectra((0.5, 0.5))
    amplitude = abs(np.cos(np.pi * mean.frequencies))
    amplitude[0] = 1e-6  # 120 dB below the layer's peak it ends
    np.testing.assert_allclose(mean.response_db[0], np.broadcast_to(20 * np.log10(amplitude), (8, 8)), atol=1e-3)


def test_a_filter_without_energy_has_no_shares_and_a_finite_response():
    nothing = kernel_spectra((0, 0), (0, 0))
    assert not nothing.shares.any()
    assert not nothing.energy_proportion.any()
    assert np.isfinite(nothing.response_db).all()


def test_phase_of_even_and_odd_kernels():
    assert not kernel_spectra((1, 2, 1), (2, 4, 2), (1, 2, 1)).phase.any()
    step = kernel_spectra((-1, 0, 1))  # its response is -2i sin(2 pi fx)
    sine = np.sin(2 * np.pi * np.arange(-4, 4) / 8)
    wanted = np.where(abs(sine) > 1e-9, -np.sign(sine) * np.pi / 2, 0)
    np.testing.assert_allclose(step.phase[0, 0], np.broadcast_to(wanted, (8, 8)), atol=1e-6)


def test_phase_and_power_give_the_kernel_back():
    assert measure_spectra(conv(2, 5, 3, 3)).phase is None  # only images, of up to four channels, have one
    spectra = measure_spectra(conv(2, 1, 3, 5), n=16)
    response = np.sqrt(spectra.power * 16.0**2) * np.exp(1j * spectra.phase[:, 0])
    grid = np.fft.ifft2(np.fft.ifftshift(response, axes=(1, 2))).real
    np.testing.assert_allclose(np.roll(grid, (1, 2), (1, 2))[:, :3, :5], spectra.weight[:, 0], atol=1e-5)


def test_repr_is_one_line():
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    spectra = Spectra(**fields(shares=shares, kernel=(5, 3), target={"low": 1}))
    assert repr(spectra) == "Spectra('conv1': 4 filters of 2x5x3, low 0.25, high 0.75)"
    assert "target (%)" in spectra._repr_html_()
    assert "target (%)" not in replace(spectra, target=None)._repr_html_()
    history = SpectraHistory([0, 3], [spectra.power] * 2, [spectra.weight] * 2, [shares] * 2)
    assert repr(history) == "SpectraHistory(2 records of epochs 0 to 3, 4 filters)"
    assert repr(replace(spectra, history=history)).endswith("low 0.25, high 0.75, 2 records)")


def test_are_spectra_of_another_model():
    layer = conv(2, 3, 3, 3)
    spectra = measure_spectra(layer)
    assert are_spectra_of(layer, spectra)
    for other in (conv(2, 3, 3, 3, seed=1), conv(3, 3, 3, 3), nn.Linear(2, 2)):
        assert not are_spectra_of(other, spectra)

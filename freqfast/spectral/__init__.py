"""The method, in pure torch: spectra, bands, proportions, modulation, perturbation and their relatives."""

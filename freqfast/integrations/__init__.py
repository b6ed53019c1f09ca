"""The methods in other training frameworks: `lightning` and `transformers`, which are installed apart.

`freqfast.callbacks` is fastai's, and `freqfast.methods` is for loops of one's own.
"""

"""Train, score and compare spectral-normalisation GANs."""

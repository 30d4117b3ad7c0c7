"""Training, sampling and scoring: the only part of the program that imports torch."""

"""What is wrong with a run, told from what it recorded: losses, scores, checkpoints, and how it ended."""

from sngan_cli.diagnosis.history import Finding, History
from sngan_cli.diagnosis.rules import diagnose, not_looked_for
from sngan_cli.diagnosis.thresholds import ENOUGH

__all__ = ["ENOUGH", "Finding", "History", "diagnose", "not_looked_for"]

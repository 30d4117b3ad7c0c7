"""The commands of the `sngan` program, one file a group."""

COMMANDS = {
    "train": "Train a GAN and record the run; its id is printed on stdout.",
    "runs": "What was trained, and what came of it.",
    "sample": "Draw samples of a run; prints the path of the picture on stdout.",
    "interpolate": "Draw paths between random latents, a row each; prints the path of the picture on stdout.",
    "evaluate": "Score checkpoints of a run, or pictures of any origin, by a named protocol.",
    "scores": "All scores, of runs and of pictures, by the same ruler.",
    "experiments": "Tables of runs: those of koshian2's article of 2019, and yours.",
    "plugins": "The components that are installed, and how to write one.",
    "datasets": "What there is to train on.",
    "extractors": "What scores pictures: train an extractor for your own.",
    "registry": "Where runs are recorded.",
}
"""What the program's help says of each command: a command's module is imported when it is called."""

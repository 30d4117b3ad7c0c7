"""The run store: what was trained, how, with what, and what came of it."""

"""An example of a plugin for sngan."""

"""The commands of the `sngan` program, one file a group."""

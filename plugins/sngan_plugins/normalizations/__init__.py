"""Built-in normalizations, one file each."""

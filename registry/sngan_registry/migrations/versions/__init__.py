"""One module a migration, each with the number of the one before it."""

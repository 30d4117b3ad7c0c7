"""The history of the tables, run by Alembic: written out by hand, and independent of `tables`.

Foreign keys are enforced meanwhile: on SQLite a migration that rebuilds `runs` (`op.batch_alter_table` does) would
delete all that belongs to its rows. Adding a column needs no rebuild.
"""

"""Record which data each run was trained on."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TOLD = re.compile(r"The data are \d+ pictures, SHA-256 ([0-9a-f]{64})\.")


def upgrade() -> None:
    """Add the SHA-256 of the data, which runs so far have told in an event, if at all."""
    op.add_column("runs", sa.Column("data_sha256", sa.String(64)))
    runs = sa.table("runs", sa.column("id"), sa.column("data_sha256"))
    events = sa.table("events", sa.column("run_id"), sa.column("kind"), sa.column("message", sa.Text))
    connection = op.get_bind()
    like_it = (events.c.kind == "data", events.c.message.startswith("The data are "))  # others may be anything
    told = connection.execute(sa.select(events.c.run_id, events.c.message).where(*like_it)).all()
    for run_id, message in told:
        if isinstance(message, str) and (found := TOLD.fullmatch(message)):
            connection.execute(runs.update().where(runs.c.id == run_id).values(data_sha256=found[1]))

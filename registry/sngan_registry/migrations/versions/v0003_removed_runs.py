"""Record which runs were removed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the time of removal, which no run has yet."""
    op.add_column("runs", sa.Column("removed", sa.DateTime(timezone=True)))

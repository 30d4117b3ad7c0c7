"""Record trained extractors, and scores of pictures that no run drew."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the two tables; nothing that is there changes."""
    op.create_table(
        "picture_scores",
        sa.Column("pictures_sha256", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("protocol", sa.String(255), nullable=False),
        sa.Column("pictures", sa.Text, nullable=False),
        sa.Column("against", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("std", sa.Float(53)),
        sa.Column("higher_is_better", sa.Boolean, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("pictures_sha256", "metric", "protocol", name="pk_picture_scores"),
    )
    op.create_table(
        "extractors",
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("removed", TIME),
        sa.PrimaryKeyConstraint("weights_sha256", "name", name="pk_extractors"),
    )

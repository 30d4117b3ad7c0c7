"""Record which runs were removed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time of removal, which no run has yet."""
    op.add_column("runs", sa.Column("removed", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Refuse: the backup that was made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup that was made before the upgrade")

"""Create all tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create runs and all that belongs to a run."""
    op.create_table(
        "runs",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("parent", sa.String(16)),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("started", TIME),
        sa.Column("ended", TIME),
        sa.Column("heartbeat", TIME),
        sa.Column("note", sa.Text),
        sa.Column("sngan", sa.Text, nullable=False),
        sa.Column("python", sa.Text, nullable=False),
        sa.Column("torch", sa.Text, nullable=False),
        sa.Column("cuda", sa.Text),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("git_commit", sa.Text),
        sa.Column("command", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["parent"], ["runs.id"], name="fk_runs_parent", ondelete="SET NULL"),
    )
    for column in ("created", "name", "parent", "status"):
        op.create_index(f"ix_runs_{column}", "runs", [column])

    op.create_table(
        "tags",
        _run_id(),
        sa.Column("tag", sa.String(255), nullable=False),
        *_keys("tags", "run_id", "tag"),
    )
    op.create_index("ix_tags_tag", "tags", ["tag"])

    op.create_table(
        "components",
        _run_id(),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("distribution", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        *_keys("components", "run_id", "role", "name"),
    )

    op.create_table(
        "scalars",
        _run_id(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("value", sa.Float(53)),
        *_keys("scalars", "run_id", "name", "step"),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "scores",
        _run_id(),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("protocol", sa.String(255), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("generator_weights", sa.String(64), nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("std", sa.Float(53)),
        sa.Column("higher_is_better", sa.Boolean, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("created", TIME, nullable=False),
        *_keys("scores", "run_id", "metric", "protocol", "step", "generator_weights"),
    )
    op.create_index("ix_scores_metric_created", "scores", ["metric", "created"])

    op.create_table(
        "checkpoints",
        _run_id(),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("deleted", TIME),
        *_keys("checkpoints", "run_id", "step"),
    )

    op.create_table(
        "artifacts",
        _run_id(),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("step", sa.Integer),
        sa.Column("created", TIME, nullable=False),
        *_keys("artifacts", "run_id", "path"),
    )

    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        _run_id(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("step", sa.Integer),
        sa.Column("created", TIME, nullable=False),
        *_keys("events", "id"),
    )
    op.create_index("ix_events_run_id", "events", ["run_id"])


def _run_id() -> sa.Column[str]:
    return sa.Column("run_id", sa.String(16), nullable=False)


def _keys(table: str, *primary: str) -> tuple[sa.Constraint, sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint(*primary, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=f"fk_{table}_run_id", ondelete="CASCADE"),
    )

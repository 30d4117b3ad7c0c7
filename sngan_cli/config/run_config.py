"""The whole configuration of one run, frozen, with TOML as its written form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from sngan_cli.errors import UsageError, no_such
from sngan_cli.wording import complaint, refused

ROLES: dict[str, str] = {
    "dataset": "dataset",
    "arch_g": "architecture",
    "arch_d": "architecture",
    "loss": "loss",
    "norm": "normalization",
    "norm_g": "normalization",
    "extractor": "extractor",
}
"""The component tables of a configuration, and the kind of component that each names."""


class Choice(BaseModel):
    """A component by name, with its options. Written and read as one flat table: `name` and the options beside it."""

    model_config = ConfigDict(frozen=True)
    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_flat_table(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping):
            return {"name": value.get("name"), "options": {k: v for k, v in value.items() if k != "name"}}
        return value

    @model_serializer
    def _to_flat_table(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


def _in_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is no valid Unicode and could not be recorded") from None
    return text


_MOST = 99_999_999
"""Steps and images beyond this are a slip of the finger; names of checkpoints have so many digits."""
Rate = Annotated[float, Field(gt=0, strict=True)]
Decay = Annotated[float, Field(ge=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, le=_MOST, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
Side = Annotated[int, Field(ge=1, le=4096, strict=True)]
Text = Annotated[str, AfterValidator(_in_unicode)]


class RunConfig(BaseModel):
    """Every setting of a run. What a recipe decides has no default here; steps are generator updates throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    recipe: str
    """Recipe that supplied what was not set otherwise."""
    data_dir: Annotated[Text, Field(min_length=1)] | None = None
    """Folder or archive that holds the data set."""
    size: Side | None = None
    """Side of the images in pixels; the data set's own where not given."""
    conditional: bool = False
    """Condition both networks on the class."""
    steps: CountOrNone | None = None
    """Generator updates."""
    epochs: Count | None = None
    """Passes of the discriminator over the data, in place of steps."""
    n_dis: Count
    """Discriminator updates for each generator update."""
    batch_size: Count
    """Real images, and as many generated ones, in each discriminator update."""
    g_batch_size: Count
    """Generated images in each generator update."""
    devices: Count = 1
    """Processes, with a device each, that share every batch evenly."""
    sync_batch_norm: bool = True
    """Let torch's batch norms normalise over the whole batch, not over each device's share of it."""
    lr_g: Rate
    """Adam's learning rate for the generator."""
    lr_d: Rate
    """Adam's learning rate for the discriminator."""
    beta1: Decay
    """Adam's decay of the mean gradient."""
    beta2: Decay
    """Adam's decay of the mean squared gradient."""
    lr_decay: Literal["linear", "none"]
    """How the learning rates fall over the run: linearly to 0, or not at all."""
    fakes: Literal["fresh", "reused"]
    """Generated images of a discriminator update: drawn anew, or those of the preceding generator update."""
    ema: Decay
    """Decay of the generator's averaged weights; 0 keeps none."""
    weights: Literal["raw", "averaged"]
    """Which of the generator's weights are scored and drawn."""
    flip: bool
    """Mirror real images at random."""
    dequantize: bool
    """Add uniform noise of one grey level to real images."""
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    """Seed of everything random in the run."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["fp32", "tf32", "bf16"] | None = None
    """Arithmetic of convolutions and matrix products; where not given bf16 on a device with units for it, else fp32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether a GPU replays whole steps as one graph, of compiled networks in a long run (auto) or in any (on)."""
    eval_every: CountOrNone
    """Score every so many steps; 0 scores at the end only."""
    eval_samples: Count
    """Generated images in a score."""
    checkpoint_every: CountOrNone
    """Write a checkpoint every so many steps (and with each score); 0 writes with scores and at the end only."""
    keep_every: CountOrNone = 0
    """Keep a checkpoint of every so many steps, besides the last and the best; 1 keeps all there are, 0 only these."""
    log_every: Count = 10
    """Record the losses every so many steps."""
    dataset: Choice
    """Data set and its options."""
    arch_g: Choice
    """Architecture of the generator."""
    arch_d: Choice
    """Architecture of the discriminator."""
    loss: Choice
    """Loss."""
    norm: Choice
    """Normalization of the discriminator."""
    norm_g: Choice
    """Normalization of the generator."""
    extractor: Choice
    """Extractor that scores are computed with."""
    metrics: dict[str, dict[str, Any]]
    """Metrics by name, each with its options. The first one decides which checkpoint is the best."""
    scored_by: tuple[str, ...] | None = None
    """The metrics, in their order, where they were chosen; else they are those that a recipe or option names."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.weights == "averaged" and self.ema == 0:
            raise ValueError("weights = 'averaged' needs averaged weights: set ema above 0, such as --ema 0.999")
        if self.fakes == "reused" and self.g_batch_size < self.batch_size:
            raise ValueError(
                f"fakes = 'reused' needs g_batch_size >= batch_size ({self.g_batch_size} < {self.batch_size})"
            )
        for name in ("batch_size", "g_batch_size"):
            if getattr(self, name) % self.devices:
                raise ValueError(
                    f"{name} = {getattr(self, name)} cannot be shared evenly by devices = {self.devices}: choose a "
                    "multiple"
                )
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> RunConfig:
        """Validate a plain mapping; raises `UsageError` naming the first setting that is unknown or wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_explain(error)) from error

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The settings that no recipe needs to decide, as `to_dict` has them where nobody did."""
        fields = cls.model_fields.items()
        return {key: field.default for key, field in fields if not field.is_required() and field.default is not None}

    def changed(self, **values: Any) -> RunConfig:
        """Copy with other values, validated."""
        return self.parse({**self.to_dict(), **values})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML; settings that are None are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """The configuration as `--config` reads it back."""
        return as_toml(self.to_dict())


SETTINGS = (*RunConfig.model_fields, "arch", "lr")
"""The names that settings go by: `arch` and `lr` are those of both networks."""


def as_toml(values: Mapping[str, Any]) -> str:
    """Plain values as TOML; raises `TypeError` where it has none such, as None in a list."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop None, which TOML cannot write; an absent option is None again when it is read."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return no_such("setting", key, SETTINGS)
    if first["type"] == "missing":
        role = str(first["loc"][0])
        return f"The setting {role!r} is missing: give it with --{role.replace('_', '-')} or in the configuration file."
    if not key:
        return f"These settings do not go together: {complaint(error)}."
    return f"{key} = {refused(error)}"

"""The root of all value types."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

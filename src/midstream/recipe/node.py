"""What every node of a recipe is. Knows no key."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of every node: unknown keys are refused, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

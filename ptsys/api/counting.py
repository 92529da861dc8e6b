"""What `/v1/tokens` is asked and answers."""

from __future__ import annotations

from pydantic import Field

from ptsys.api.forms import Texts
from ptsys.config import Settings
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.types.model import Value
from ptsys.types.text import Text


class TokensBody(Value):
    """Texts to count the tokens of."""

    model: Text = Field(default="tiny", description="A frozen model's name.", max_length=100)
    texts: Texts = Field(min_length=1, examples=[["a fine film"]])

    def check(self, settings: Settings) -> None:
        """Raise InvalidInput naming the field for too many or too long texts."""
        if len(self.texts) > settings.max_request_rows:
            raise InvalidInput(
                f"{len(self.texts)} texts; send at most {settings.max_request_rows} at a time",
                field="texts",
            )
        for place, text in enumerate(self.texts):
            if len(text.encode()) > settings.max_row_bytes:
                raise InvalidInput(
                    f"the text has more than {settings.max_row_bytes} bytes; shorten it",
                    field=f"texts.{place}",
                )


class Tokens(Value):
    """Each text's tokens, and the most that the model reads and writes; the end of row counts."""

    tokens: list[int]
    max_input_length: int
    max_target_length: int

    @classmethod
    def of(cls, texts: list[str], limits: ModelLimits) -> Tokens:
        """Count them."""
        return cls(
            tokens=[len(limits.vocabulary.encode(text)) + 1 for text in texts],
            max_input_length=limits.max_input_length,
            max_target_length=limits.max_target_length,
        )

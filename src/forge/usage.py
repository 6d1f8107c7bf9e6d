"""What a model call used, in tokens, as providers count them."""

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class Usage(BaseModel):
    """Tokens of one or more model calls.

    `input_tokens` includes what was read from and written to the prompt cache, as OpenTelemetry's
    `gen_ai.usage.input_tokens` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cache_read_tokens: NonNegativeInt = 0
    cache_write_tokens: NonNegativeInt = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together: what a token cap counts."""
        return self.input_tokens + self.output_tokens


_BYTES_PER_TOKEN = 3
"""Low on purpose: English prose has about 4 bytes a token, code and JSON about 3."""


def estimate_tokens(text: str) -> int:
    """How many tokens `text` comes to at most, nearly always: a guess for caps, never for bills."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)

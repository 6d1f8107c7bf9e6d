"""A run cannot go on: its model, its budget or its ledger stopped it."""

from typing import ClassVar

from forge.failures.base import Fault, ForgeError


class ModelError(ForgeError):
    """A model's provider failed or refused."""

    code: ClassVar[str] = "model_error"
    fault: ClassVar[Fault] = "provider"
    default_hint: ClassVar[str] = "Try again later, or choose another model with --model."


class ModelUnauthorized(ModelError):
    """The provider did not accept the key."""

    code: ClassVar[str] = "model_unauthorized"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "Check the API key of this provider."


class ModelRequestRefused(ModelError):
    """The provider refused the request itself; sending it again gives the same answer."""

    code: ClassVar[str] = "model_request_refused"
    default_hint: ClassVar[str] = (
        "Read the provider's reason; check the model's name and the prompt's size."
    )


class ModelRateLimited(ModelError):
    """The provider asks to slow down.

    Args:
        message: what happened.
        retry_after_s: how many seconds the provider asked us to wait, if it said.
    """

    code: ClassVar[str] = "model_rate_limited"
    retry: ClassVar[bool] = True

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ModelOverloaded(ModelRateLimited):
    """The provider is overloaded or broken on its side (5xx, 529)."""

    code: ClassVar[str] = "model_overloaded"


class ModelUnreachable(ModelError):
    """No connection to the provider could be made."""

    code: ClassVar[str] = "model_unreachable"
    fault: ClassVar[Fault] = "host"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Check the network and the provider's base URL."


class ModelStreamBroken(ModelError):
    """The provider's answer ended before it was complete; it may have been billed."""

    code: ClassVar[str] = "model_stream_broken"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False


class BudgetError(ForgeError):
    """The run may not go on under its budget."""

    code: ClassVar[str] = "budget_error"
    fault: ClassVar[Fault] = "person"


class CapReached(BudgetError):
    """The next model call would pass a cap; it was not made."""

    code: ClassVar[str] = "cap_reached"
    default_hint: ClassVar[str] = (
        "Raise the cap that the message names: `forge runs resume RUN` goes on with this run."
    )


class PriceUnknown(BudgetError):
    """A USD cap applies and the model has no known price."""

    code: ClassVar[str] = "price_unknown"
    default_hint: ClassVar[str] = (
        "Add the model to the price file, or set the USD cap to 0 for none."
    )


class LedgerError(ForgeError):
    """The ledger could not be read or written."""

    code: ClassVar[str] = "ledger_error"
    fault: ClassVar[Fault] = "host"


class LedgerCorrupt(LedgerError):
    """A run's events do not match their hash chain.

    Args:
        message: what happened.
        seq: the number of the first record that is not right, where that is known.
    """

    code: ClassVar[str] = "ledger_corrupt"
    default_hint: ClassVar[str] = (
        "The database was changed outside Forge; restore it from a backup."
    )

    def __init__(self, message: str, *, hint: str | None = None, seq: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.seq = seq


class LedgerUnwritable(LedgerError):
    """An event could not be made durable, so the run was stopped."""

    code: ClassVar[str] = "ledger_unwritable"
    default_hint: ClassVar[str] = "Check that FORGE_HOME is writable and its disk has space."


class SlowReader(ForgeError):
    """Who follows a run read too slowly and was let go; nothing is lost.

    Args:
        message: what happened.
        after: the number of the last record that was handed over.
    """

    code: ClassVar[str] = "slow_reader"
    fault: ClassVar[Fault] = "person"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Come back after the last record that arrived; the rest is kept."

    def __init__(self, message: str, *, hint: str | None = None, after: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.after = after

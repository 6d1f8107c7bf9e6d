"""What may not be done in this person's name, or not now."""

from typing import ClassVar

from forge.failures.asked import InputRefused
from forge.failures.base import Fault, ForgeError


class AccessError(ForgeError):
    """Who asks may not do what was asked."""

    code: ClassVar[str] = "access_error"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "Log in as someone who may."


class LoginRequired(AccessError):
    """Nobody is logged in."""

    code: ClassVar[str] = "login_required"
    default_hint: ClassVar[str] = "Log in, or send an API key as `Authorization: Bearer …`."


class LoginRefused(AccessError):
    """The password, link or token does not let anybody in."""

    code: ClassVar[str] = "login_refused"
    default_hint: ClassVar[str] = "Check what you typed; an admin can send a new link."


class LoginUnavailable(AccessError):
    """The other provider at which people log in does not answer, or not as it must."""

    code: ClassVar[str] = "login_unavailable"
    fault: ClassVar[Fault] = "provider"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = (
        "Try again soon; if it stays, an admin can check what is set of that provider."
    )


class NotAllowed(AccessError):
    """The request may not do this in the name of the one who asks."""

    code: ClassVar[str] = "not_allowed"
    default_hint: ClassVar[str] = (
        "Ask an admin, or use a key with the scope that the message names."
    )


class TooMany(AccessError):
    """Too many requests of this kind came in too short a time.

    Args:
        message: what happened.
        retry_after_s: after how many seconds one more is taken.
    """

    code: ClassVar[str] = "too_many"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Wait a little, then try again."

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class StorageFull(TooMany):
    """A person keeps as much as one person may."""

    code: ClassVar[str] = "storage_full"
    retry: ClassVar[bool] = False
    default_hint: ClassVar[str] = "Have the admin raise FORGE_MAX_STORAGE_MIB."


class SecretUnreadable(AccessError):
    """A sealed secret cannot be opened with the master key there is."""

    code: ClassVar[str] = "secret_unreadable"
    fault: ClassVar[Fault] = "host"
    default_hint: ClassVar[str] = "Give back the master key it was sealed with, or set it anew."


class NotFound(InputRefused):
    """There is no such thing, or it is another person's."""

    code: ClassVar[str] = "not_found"
    default_hint: ClassVar[str] = "List what there is; it may have been removed."


class ConversationNotFound(NotFound):
    """There is no such conversation or message, or it is another person's."""

    code: ClassVar[str] = "conversation_not_found"


class FileUnknown(NotFound):
    """There is no such upload or artifact, or it is another person's."""

    code: ClassVar[str] = "file_unknown"


class KeyReused(InputRefused):
    """The Idempotency-Key was sent before, with another request."""

    code: ClassVar[str] = "key_reused"
    default_hint: ClassVar[str] = "Send each new request with a key of its own."


class PreferenceUnmet(InputRefused):
    """Something is preferred that this server cannot do, such as machines where it makes none."""

    code: ClassVar[str] = "preference_unmet"
    default_hint: ClassVar[str] = (
        "Set `provider_mode` to `auto` to take the machines there are, or ask an admin for others."
    )


class Conflict(InputRefused):
    """What was asked does not fit what is there now."""

    code: ClassVar[str] = "conflict"
    default_hint: ClassVar[str] = "Look at what is there now, then ask again."


class RequestUnderWay(Conflict):
    """The same request was sent before and is not answered yet."""

    code: ClassVar[str] = "request_under_way"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Send it again in a second, with the same Idempotency-Key."


class RunOver(Conflict):
    """The run is over, so nothing can be told to it; or it goes on, so it cannot be resumed."""

    code: ClassVar[str] = "run_over"
    default_hint: ClassVar[str] = "Look at how the run stands, and ask again in a new one."


class NothingWaits(Conflict):
    """No call of this id waits for a decision in the run."""

    code: ClassVar[str] = "nothing_waits"
    default_hint: ClassVar[str] = "It was decided or its time ran out; look at the run's events."

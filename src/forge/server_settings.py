"""The knobs of the server and of who asks one; part of the page in `settings`, which reads all."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode

LogLevel = Literal["debug", "info", "warning"]
LogFormat = Literal["auto", "json", "console"]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]

Collector = Annotated[str, StringConstraints(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")]


def _far_by_https(url: str) -> str:
    """An address of a provider: over HTTPS, unless it is on this very computer."""
    place = urlsplit(url)
    near = place.hostname in ("localhost", "127.0.0.1", "::1")
    if not place.hostname or "@" in place.netloc or place.query or place.fragment:
        raise ValueError("it is no address like https://login.example")
    if place.scheme != "https" and not (near and place.scheme == "http"):
        raise ValueError("it must begin with https://")
    return url


Provider = Annotated[str, AfterValidator(_far_by_https)]


def setting(name: str, sentence: str, zero: str, **rules: Any) -> Any:
    """A field of the page. `zero` is its meaning for zero, or for an empty value."""
    return Field(
        validation_alias=name, description=sentence, json_schema_extra={"zero": zero}, **rules
    )


class ServerSettings(BaseSettings):
    """What a person may set of the server."""

    host: str = setting(
        "FORGE_HOST",
        "The address that the server listens at; `0.0.0.0` for everybody who can reach this "
        "computer.",
        "Empty: `127.0.0.1`, which only this computer reaches.",
        default="127.0.0.1",
    )
    port: int = setting(
        "FORGE_PORT",
        "The port that the server listens at.",
        "0: any that is free; the server says which.",
        default=3000,
        ge=0,
        le=65535,
    )
    public_url: Address | Literal[""] = setting(
        "FORGE_PUBLIC_URL",
        "Where people reach the server, as `https://forge.example`, if that is not where it "
        "listens.",
        "Empty: where it listens.",
        default="",
    )
    proxies: Annotated[tuple[str, ...], NoDecode] = setting(
        "FORGE_PROXIES",
        "The addresses of reverse proxies, separated by commas, whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed.",
        "Empty: none; the headers are then ignored, as anybody can send them.",
        default=(),
    )
    login: Literal["auto", "always", "never"] = setting(
        "FORGE_LOGIN",
        "Whether people log in: `always`, `never`, or `auto`, which asks for it unless only this "
        "computer reaches the server and no other provider of logins is set.",
        "Empty: `auto`.",
        default="auto",
    )
    sign_up: Literal["open", "invite", "closed"] = setting(
        "FORGE_SIGN_UP",
        "Who may make an account: everybody (`open`), whom an admin invites (`invite`), or nobody "
        "(`closed`).",
        "Empty: `invite`.",
        default="invite",
    )
    oidc_issuer: Provider | Literal[""] = setting(
        "FORGE_OIDC_ISSUER",
        "The provider of logins (OpenID Connect) at which people may log in: its `issuer`, letter "
        "by letter.",
        "Empty: none.",
        default="",
    )
    oidc_client_id: str = setting(
        "FORGE_OIDC_CLIENT_ID",
        "What this server is called at that provider.",
        "Empty: refused where `FORGE_OIDC_ISSUER` is set.",
        default="",
    )
    oidc_client_secret: SecretStr = setting(
        "FORGE_OIDC_CLIENT_SECRET",
        "The secret that this server shares with that provider; never shown.",
        "Empty: none, as for a public client.",
        default=SecretStr(""),
    )
    oidc_name: str = setting(
        "FORGE_OIDC_NAME",
        "What people call that provider: the words on the button.",
        "Empty: the host of its address.",
        default="",
        max_length=60,
    )
    supabase_url: Provider | Literal[""] = setting(
        "FORGE_SUPABASE_URL",
        "The Supabase project whose users' tokens are logins here, as "
        "`https://PROJECT.supabase.co`.",
        "Empty: none.",
        default="",
    )
    supabase_jwt_secret: SecretStr = setting(
        "FORGE_SUPABASE_JWT_SECRET",
        "The shared (legacy) secret of that project's tokens, where it still has one; never shown.",
        "Empty: none; tokens count by the project's public keys alone.",
        default=SecretStr(""),
    )
    secret_key: SecretStr = setting(
        "FORGE_SECRET_KEY",
        "The master keys that seal secrets in the database, each 32 random bytes in base64, "
        "separated by commas; the first seals, the others still open.",
        "Empty: a key is made in the file `master.keys` in FORGE_HOME, for its owner alone.",
        default=SecretStr(""),
    )

    preview_wait_s: float = setting(
        "FORGE_PREVIEW_WAIT_S",
        "How long a program in a machine may take to begin its answer to a browser, and to go on "
        "with it, in seconds.",
        "0: refused; from 0.1 to 600.",
        default=30.0,
        ge=0.1,
        le=600,
    )
    preview_mib: int = setting(
        "FORGE_PREVIEW_MIB",
        "How much such a program may send in one answer, or over one WebSocket, in MiB.",
        "0: refused; from 1 to 65,536.",
        default=256,
        ge=1,
        le=65536,
    )

    max_requests: int | None = setting(
        "FORGE_MAX_REQUESTS",
        "How many requests one person may send within a minute.",
        "0: any number. Empty: 1,200, and any number where nobody logs in.",
        default=None,
        ge=0,
    )
    max_runs: int | None = setting(
        "FORGE_MAX_RUNS",
        "How many runs of one person may go on at once.",
        "0: any number. Empty: 10, and any number where nobody logs in.",
        default=None,
        ge=0,
    )

    max_storage_mib: int | None = setting(
        "FORGE_MAX_STORAGE_MIB",
        "How much one person may keep on the server, uploads and what runs made, in MiB.",
        "0: any amount. Empty: 10,240, and any amount where nobody logs in.",
        default=None,
        ge=0,
    )

    log: LogLevel = setting(
        "FORGE_LOG",
        "From which level the server logs: `debug`, `info` (a line for each request too) or "
        "`warning`.",
        "Empty: `info`.",
        default="info",
    )
    log_format: LogFormat = setting(
        "FORGE_LOG_FORMAT",
        "How the server logs: `json`, `console`, or `auto`, which is for people on a terminal and "
        "JSON elsewhere.",
        "Empty: `auto`.",
        default="auto",
    )

    otlp_endpoint: Collector | Literal[""] = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "The collector that runs are traced to over OTLP/HTTP, as `http://localhost:4318`.",
        "Empty: none; nothing is traced.",
        default="",
    )
    otlp_headers: SecretStr = setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "What that collector is asked with, as `name=value`, separated by commas; never shown.",
        "Empty: nothing.",
        default=SecretStr(""),
    )
    trace_content: Literal["never", "always"] = setting(
        "FORGE_TRACE_CONTENT",
        "Whether prompts, answers, code and results go to that collector too: `never` or `always`.",
        "Empty: `never`; it gets names, numbers and codes.",
        default="never",
    )

    @property
    def logins_elsewhere(self) -> bool:
        """Whether people are recognised by another provider."""
        return bool(self.oidc_issuer or self.supabase_url)

    server: Address | Literal[""] = setting(
        "FORGE_SERVER",
        "The server that the terminal asks, as `https://forge.example`.",
        "Empty: the one that serves `FORGE_HOME` now, or none: they do it themselves.",
        default="",
    )
    api_key: SecretStr = setting(
        "FORGE_API_KEY",
        "The key that `FORGE_SERVER` is asked with; never shown.",
        "Empty: none, as a server that asks for no login needs none.",
        default=SecretStr(""),
    )
    plain_http: Literal["refuse", "allow"] = setting(
        "FORGE_PLAIN_HTTP",
        "Whether `FORGE_API_KEY` may go to another computer over plain HTTP, where others on the "
        "way can read it: `refuse` or `allow`.",
        "Empty: `refuse`.",
        default="refuse",
    )

    @field_validator("supabase_jwt_secret")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        """A secret that cannot be guessed from a token."""
        if 0 < len(value.get_secret_value()) < 32:
            raise ValueError("it is shorter than 32 characters, so no secret of Supabase's")
        return value

    @field_validator("proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Addresses as a list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

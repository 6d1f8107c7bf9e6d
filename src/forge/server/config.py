"""How the server is set up, as plain values; `wiring` reads them from the settings."""

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

SignUp = Literal["open", "invite", "closed"]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the server may not find out by itself.

    `public_url` is where people reach it, if that is not where it listens; `proxies` are the
    addresses of reverse proxies whose `X-Forwarded-*` headers are believed. `single_user` lets
    whoever reaches the server in without a login; `owner_key` is what its owner's terminal shows. A
    reader who takes nothing for `take_s` is cut off. `max_requests` in a minute, `max_runs` at
    once and `max_storage` are one person's, 0 for any number. Sizes are in bytes, times in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    public_url: str = ""
    proxies: tuple[str, ...] = ()
    single_user: bool = True
    sign_up: SignUp = "invite"
    body_limit: int = 1 << 20
    upload_limit: int = 1 << 30
    keepalive_s: float = 15.0
    take_s: float = 30.0
    owner_key: str = field(default="", repr=False)
    preview_wait_s: float = 30.0
    preview_limit: int = 256 << 20
    preview_message: int = 1 << 20
    max_requests: int = 0
    max_runs: int = 0
    max_storage: int = 0

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{'localhost' if is_loopback(self.host) else host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Where a provider is: a base URL checked before any SDK sees it, and a bound on connecting."""

from urllib.parse import urlsplit

from forge.errors import SettingsInvalid

CONNECT_S = 10.0
"""A connection that is not made in ten seconds will not be made; the rest of a call is bounded by
the call's own deadline."""


def base_url(url: str) -> str:
    """`url`, if it can be called.

    Raises:
        SettingsInvalid: it is not an http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsInvalid(f"The model provider's base URL {url!r} is not an http(s) URL")
    return url

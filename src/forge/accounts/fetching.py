"""Asking a provider of logins: short, small answers, from where they should come and nowhere else.

The other side may be taken over, or somebody else. So an answer has a deadline and a largest size,
is read as it comes and never unpacked, and is a JSON object or refused; a redirect is not followed;
what is asked goes over HTTPS, but for a provider on this very computer. Whoever opens a `Fetcher`
closes it.
"""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from forge.errors import LoginUnavailable

DEADLINE_S = 10.0
"""For one answer, from the first byte sent to the last received: a person waits for it."""

LARGEST = 256 * 1024
"""In bytes. What providers publish is some 2 to 20 KiB."""


class Answer(NamedTuple):
    """What came back: a status below 500, and a JSON object."""

    status: int
    body: dict[str, Any]


def is_safe(url: object, issuer: str) -> bool:
    """Whether an address that a provider names may be used: HTTPS; plain HTTP on this computer
    alone, and only for a provider that is itself there.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable():
        return False
    try:
        there, own = urlsplit(url), urlsplit(issuer)
        _ = there.port
    except ValueError:
        return False
    if not there.hostname or "@" in there.netloc or there.fragment or " " in url:
        return False
    if there.scheme == "https":
        return True
    near = _is_loopback(there.hostname) and _is_loopback(own.hostname or "")
    return there.scheme == "http" and own.scheme == "http" and near


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Fetcher:
    """Asks for JSON objects."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at an address.

        Raises:
            LoginUnavailable: there is none, or it came too late or too large.
        """
        answer = await self._ask("GET", url)
        if answer.status != HTTPStatus.OK:
            raise _unusable(url, f"answers with {answer.status}")
        return answer.body

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """What an address answers to a form.

        Raises:
            LoginUnavailable: no JSON object, or it came too late or too large.
        """
        return await self._ask("POST", url, content=body.encode(), headers=dict(headers))

    async def _ask(self, method: str, url: str, **more: Any) -> Answer:
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._client.stream(method, url, **more) as response,
            ):
                return Answer(response.status_code, _parsed(url, await _read(url, response)))
        except TimeoutError as error:
            raise _unusable(url, f"has not answered within {DEADLINE_S:.0f} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _unusable(url, f"cannot be asked: {error}") from error


@asynccontextmanager
async def open_fetcher() -> AsyncIterator[Fetcher]:
    """A fetcher, until the block is left."""
    async with httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=DEADLINE_S,
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        limits=httpx2.Limits(max_connections=20, max_keepalive_connections=5),
    ) as client:
        yield Fetcher(client)


async def _read(url: str, response: httpx2.Response) -> bytes:
    status = response.status_code
    if (
        not HTTPStatus.OK <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        or response.has_redirect_location
    ):
        raise _unusable(url, f"answers with {status}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _unusable(url, "answers packed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST:
            raise _unusable(url, f"answers with more than {LARGEST} bytes")
    return bytes(body)


def _parsed(url: str, body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unusable(url, "does not answer in JSON") from error
    if not isinstance(value, dict):
        raise _unusable(url, "does not answer with a JSON object")
    return value


def _unusable(url: str, what: str) -> LoginUnavailable:
    place = urlsplit(url)
    return LoginUnavailable(f"{place.scheme}://{place.netloc}{place.path} {what}.")

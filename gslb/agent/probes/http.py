"""HTTP and HTTPS: status and body; and the one way in which everything else is fetched."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from gslb.agent.probes import ProbeError, told

MAX_BODY: Final = 1 << 20
"""Bytes of a body in which a text is looked for."""
_CHUNK: Final = 1 << 14
# Bodies are read as they are: a small one that unpacks to a large one is not unpacked.
_HEADERS: Final = {"User-Agent": "gslb-agent", "Accept-Encoding": "identity"}


@contextlib.asynccontextmanager
async def fetched(
    url: str, *, family: int = socket.AF_UNSPEC, host: str = "", verify: bool = True
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a GET over a connection of its own, by addresses of ``family``; redirects are answers.

    ``host`` is the name that is asked for and that a certificate must be for; default: the URL's. Raises `ProbeError`.
    """
    connector = aiohttp.TCPConnector(
        family=socket.AddressFamily(family), ssl=_tls(verify), force_close=True, use_dns_cache=False
    )
    headers = _HEADERS | ({"Host": host} if host else {})
    no_limit = aiohttp.ClientTimeout(total=None, sock_connect=None)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=no_limit) as session:
        try:
            name = host.partition(":")[0] if host and url.startswith("https:") else None
            async with session.get(url, headers=headers, allow_redirects=False, server_hostname=name) as response:
                yield response
                response.close()
        except aiohttp.ClientConnectorCertificateError as error:
            raise ProbeError(f"certificate: {error.certificate_error}") from None
        except aiohttp.ClientConnectorError as error:
            raise ProbeError(told(error.os_error)) from None
        except aiohttp.ServerDisconnectedError:
            raise ProbeError("the connection was closed") from None
        except aiohttp.ClientPayloadError:
            raise ProbeError("the body ended early") from None
        except aiohttp.ClientResponseError as error:
            raise ProbeError(f"not HTTP: {error.message}".splitlines()[0].rstrip(":")) from None


async def body_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, up to ``most`` bytes of it; what follows is not read."""
    found = bytearray()
    while len(found) < most and (part := await response.content.read(_CHUNK)):
        found += part
    return bytes(found[:most])


def check_status(response: aiohttp.ClientResponse, wanted: tuple[int, ...] = ()) -> None:
    """Raises `ProbeError` where the status is none of ``wanted``; default: 200 to 299."""
    if response.status not in (wanted or range(200, 300)):
        raise ProbeError(f"status {response.status}")


async def check(
    url: str,
    *,
    status: tuple[int, ...] = (),
    body: str = "",
    family: int = socket.AF_UNSPEC,
    host: str = "",
    verify: bool = True,
) -> None:
    """The status is one of ``status``, and ``body`` stands in the body. Raises `ProbeError`."""
    async with fetched(url, family=family, host=host, verify=verify) as response:
        check_status(response, status)
        if body and body.encode() not in await body_of(response, MAX_BODY):
            raise ProbeError(f'"{body[:40]}" is not in the body')


@functools.cache
def _tls(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

"""The checks of `doctor` that need the network: the host, the connection, the credentials, the clock.

The platform is asked for a reserved number that nobody has: "not found" proves that the credentials are accepted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from phone_number_mcp.commands.checks import Check, credential_forms, failed, passed, unset_credentials
from phone_number_mcp.errors import (
    Forbidden,
    InvalidReply,
    NotFound,
    PaymentRequired,
    RateLimited,
    TimedOut,
    ToolError,
    Unauthorized,
    Unreachable,
    duration,
)
from phone_number_mcp.upstream.api import Api

if TYPE_CHECKING:
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.settings import Settings
    from phone_number_mcp.upstream.reply import Reply

RESERVED = "+14155550100"
"""A number that no operator assigns: https://www.nanpa.com/numbering/555-line-numbers."""
PATIENCE_SECONDS = 10.0
"""Timeout of one check."""
SKEW_SECONDS = 300.0
"""Largest difference from the platform's clock."""


async def check_platform(settings: Settings) -> AsyncIterator[Check]:
    """Yield the checks of the credentials' form, the host, the connection, the platform's answer and the clock."""
    credentials = [*unset_credentials(settings), *credential_forms(settings)]
    for check in credentials:
        yield check
    reached = True
    async for check in _reach(settings):
        reached = reached and check.ok
        yield check
    if reached and all(check.ok for check in credentials):
        async for check in _ask(settings):
            yield check


async def _reach(settings: Settings) -> AsyncIterator[Check]:
    """Resolve the host, then open a connection."""
    variable = settings.platform.base_url_variable
    url = urlsplit(settings.base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no answer" if isinstance(error, OSError) else "not a host name"
        fix = f"Check {variable} and this machine's network: is there a typo in the name, or no connection?"
        yield failed("host", f"{host} cannot be found: {why}", fix)
        return
    addresses = sorted({str(entry[4][0]) for entry in found})
    yield passed("host", f"{host} is {'an address' if addresses == [host] else ', '.join(addresses)}")
    started = time.perf_counter()
    try:
        async with _api(settings) as api:
            await api.connect()
    except (Unreachable, TimedOut) as error:
        detail = error.message.removesuffix(". Nothing was sent")
        if isinstance(error, TimedOut):
            detail = f"No connection to {settings.base_url} within {duration(PATIENCE_SECONDS)}"
        fix = f"Check {variable}: is anything there? A firewall may be in the way; proxies are not used."
        if "certificate" in detail.lower():
            fix = (
                f"Check {variable}. If a proxy of your organization reads TLS, set SSL_CERT_FILE to its certificate "
                "authority; else somebody is in between, and nothing should be sent."
            )
        yield failed("connection", detail, fix)
        return
    how = "TLS, certificate verified" if url.scheme == "https" else "plain, on this machine"
    milliseconds = (time.perf_counter() - started) * 1000
    yield passed("connection", f"port {port} answers in {milliseconds:.0f} ms ({how})")


async def _ask(settings: Settings) -> AsyncIterator[Check]:
    """Request the reserved number, and check the answer and its date."""
    replies: list[Reply] = []
    async with _api(settings, replies) as api:
        try:
            await settings.platform.fetch_number(api.call(settings.account()), RESERVED)
            detail = f"The credentials are accepted; {RESERVED} is there"
        except NotFound:
            detail = f"The credentials are accepted: {RESERVED} is not found, as it should be"
        except Unauthorized as error:
            fix = _about_credentials(settings.platform, swapped=await _accepted_if_swapped(settings))
            yield failed("platform", f"The credentials are refused: {error.message}", fix)
            return
        except ToolError as error:
            detail = f"{error.code}: {error.message}"
            yield failed("platform", detail, _about_trouble(error, settings.platform))
            return
        reply = replies[-1]
        if not settings.platform.recognizes(reply.body):
            detail = f"{settings.base_url} answers {reply.status}, but not as {settings.platform.title} does"
            yield failed("platform", detail, _about_address(settings.platform))
            return
        yield passed("platform", detail)
        if reply.date:
            yield _clock(reply.date)


def _about_trouble(error: ToolError, platform: Platform) -> str:
    match error:
        case Forbidden():
            return f"Look at the permissions of these credentials on {platform.title}."
        case PaymentRequired():
            return f"Look at the account's balance on {platform.title}."
        case RateLimited():
            return "Wait a while, and run doctor again."
        case InvalidReply():
            return _about_address(platform)
        case _:
            return f"Run doctor again in a while: if it stays, {platform.title} has trouble."


def _about_address(platform: Platform) -> str:
    return f"Check {platform.base_url_variable}: the published address is {platform.base_url}."


def _about_credentials(platform: Platform, *, swapped: bool) -> str:
    names = " and ".join(platform.credentials)
    if swapped:
        return f"Swap {names}: the other way round, they are accepted."
    return f"Copy {names} again from {platform.title}: are they of this organization, and not revoked?"


async def _accepted_if_swapped(settings: Settings) -> bool:
    if len(settings.credentials) < 2:  # a pair
        return False
    values = [value.get_secret_value() for value in settings.credentials.values()]
    swapped = {name: SecretStr(value) for name, value in zip(settings.credentials, reversed(values), strict=True)}
    account = replace(settings, credentials=swapped).account()
    async with _api(settings) as api:
        try:
            await settings.platform.fetch_number(api.call(account), RESERVED)
        except NotFound:
            return True
        except ToolError:
            return False
        return True


def _api(settings: Settings, replies: list[Reply] | None = None) -> Api:
    """Return the way to the platform.

    Args:
        settings: Where it is.
        replies: Every reply is added to it, whatever it means.
    """

    def decipher(reply: Reply) -> Any:
        if replies is not None:
            replies.append(reply)
        return settings.platform.decipher(reply)

    return Api(
        base_url=settings.base_url,
        decipher=decipher,
        encode=settings.platform.encode,
        timeout=min(PATIENCE_SECONDS, settings.options.timeout),
    )


def _clock(date: str) -> Check:
    try:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return passed("clock", "The platform does not say what time it is")
    if abs(skew) > SKEW_SECONDS:
        detail = f"This machine's clock is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the platform's"
        return failed("clock", detail, "Set it: certificates and the journal's days depend on it.")
    return passed("clock", f"within {duration(max(1, round(abs(skew))))} of the platform's")

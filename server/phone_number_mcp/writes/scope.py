"""The scope of a write: what makes two writes concern the same platform, address and account."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalized(address: str) -> str:
    """Return one spelling of a base URL: RFC 3986, section 6.2, and one name for loopback.

    Args:
        address: Scheme, host, port and path, already validated.
    """
    url = urlsplit(address)
    host = (url.hostname or "").rstrip(".")
    if _is_loopback(host):
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    port = "" if url.port in {None, _DEFAULT_PORTS.get(url.scheme)} else f":{url.port}"
    return f"{url.scheme}://{host}{port}{url.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tenant(key: bytes, credentials: Sequence[str]) -> str:
    """Return the name of an account in the journal: without the key, nobody can test a guess of the credentials by it.

    Args:
        key: The journal's own.
        credentials: In the platform's order.
    """
    message = b"\0".join(credential.encode() for credential in credentials)
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]

"""The options of the server, and of its HTTP transport: what each may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phone_number_mcp.platforms import DEFAULT_PLATFORM, PLATFORMS

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address


class Options(BaseModel):
    """The options of the server: each is `--name` on the command line and `PHONE_NUMBER_MCP_NAME` in the environment."""

    model_config = ConfigDict(frozen=True)

    platform: Annotated[str, Field(description=f"The platform: {' or '.join(PLATFORMS)}.")] = DEFAULT_PLATFORM
    sandbox: Annotated[
        bool,
        Field(description="Use a simulated platform in this process: no credentials, nothing real, state in memory."),
    ] = False
    read_only: Annotated[bool, Field(description="Offer only tools that change nothing.")] = False
    tools: Annotated[
        tuple[str, ...] | None, Field(description="Offer exactly these tools, separated by commas. Default: all.")
    ] = None
    allow_delete: Annotated[bool, Field(description="Offer the tool that releases a number for good.")] = False
    confirm: Annotated[
        Literal["never", "always"],
        Field(description="`always`: before every write the server asks the person itself, whatever the model says."),
    ] = "never"
    confirm_timeout: Annotated[
        float,
        Field(
            ge=1,
            le=600,
            description="Seconds that the person may take before the call is `declined`; not counted in `--timeout`.",
        ),
    ] = 45
    max_creates: Annotated[
        int | None,
        Field(ge=0, description="How many numbers may be created a day (UTC) and platform. Default: no limit."),
    ] = None
    timeout: Annotated[
        float,
        Field(ge=0.1, le=600, description="Seconds that one tool call may take. MCP clients give up after 60 or less."),
    ] = 25
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Of the log on stderr.")] = (
        "warning"
    )

    journal: Annotated[
        str | None,
        Field(
            description="Where the journal of writes is; `:memory:` keeps none on disk. Default: the user's state directory."
        ),
    ] = None

    @field_validator("platform", "log_level", "confirm", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("platform")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in PLATFORMS:
            raise ValueError(f"must be {' or '.join(PLATFORMS)}")
        return value

    @field_validator("journal")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            scheme, _, path = value.partition("://")
            if scheme not in {"file", "sqlite"}:
                raise ValueError("must be a path, file:///path, sqlite:///path or :memory:")
            return path if scheme == "file" else path.removeprefix("/") if path.startswith("//") else path
        return value

    @field_validator("tools", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        names = tuple(dict.fromkeys(re.findall(r"[^\s,]+", value)))
        if not names:
            raise ValueError("names no tool; leave it out to offer all")
        return names


class HttpOptions(BaseModel):
    """The options of `phone-number-mcp http` alone, each also a variable."""

    model_config = ConfigDict(frozen=True, defer_build=True)  # stdio needs it not

    host: Annotated[str, Field(description="`http` only: the loopback address that it listens at.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="`http` only: the port that it listens at; 0 takes a free one.")
    ] = 8000

    @field_validator("host")
    @classmethod
    def _is_loopback(cls, value: str) -> str:
        return str(loopback(value.strip()))


def loopback(host: str) -> IPv4Address | IPv6Address:
    """Return the address of a host that only this machine reaches.

    Raises:
        ValueError: It is none; the message says what to do.
    """
    from ipaddress import ip_address  # stdio needs it not

    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ValueError("must be an address, 127.0.0.1 or ::1, or localhost") from None
    if not address.is_loopback:
        raise ValueError("must be loopback: there is no sign-in, and whoever reached it could buy numbers")
    return address

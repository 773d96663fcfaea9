"""The two tools on the stock Python SDK, as its documentation would have one write them."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from mcp.server import MCPServer
from pydantic import Field

PhoneNumber = Annotated[str, Field(pattern=r"^\+[1-9]\d{1,14}$", description="E.164: + and country code, digits only")]

# WARNING, since at the default INFO httpx logs a line per request: that would be measured, and nobody needs it.
server = MCPServer("phone-numbers", log_level="WARNING")
client = httpx.AsyncClient(
    base_url=os.environ["ZUDU_BASE_URL"],
    headers={"X-API-KEY": os.environ["ZUDU_API_KEY"], "X-API-SECRET": os.environ["ZUDU_API_SECRET"]},
    timeout=25,  # httpx's default of 5 s would end the slow call that head-of-line delay is measured beside
)


@server.tool()
async def get_phone_number(phone_number: PhoneNumber) -> dict[str, Any]:
    """Look up one phone number of the organization: nickname, agents, webhook, trunks."""
    response = await client.get(f"/api/phone-numbers/{quote(phone_number, safe='')}")
    response.raise_for_status()
    data: dict[str, Any] = response.json()["data"]
    return data


@server.tool()
async def create_phone_number(
    phone_number: PhoneNumber,
    area_code: Annotated[int | None, Field(ge=200, le=999, description="3-digit area code")] = None,
    nickname: Annotated[str | None, Field(description="What people call it")] = None,
    inbound_agent_id: Annotated[str | None, Field(description="Agent that answers calls to it")] = None,
    outbound_agent_id: Annotated[str | None, Field(description="Agent that places calls from it")] = None,
) -> dict[str, Any]:
    """Create a phone number and route it to agents. It may cost money: call it once, for a number the user confirmed."""
    given = {
        "phone_number": phone_number,
        "area_code": area_code,
        "nickname": nickname,
        "inbound_agent_id": inbound_agent_id,
        "outbound_agent_id": outbound_agent_id,
    }
    body = {name: value for name, value in given.items() if value is not None}
    response = await client.post("/api/phone-numbers/create", json=body)
    response.raise_for_status()
    data: dict[str, Any] = response.json()["data"]
    return data


if __name__ == "__main__":
    if len(sys.argv) > 1:  # a port
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()

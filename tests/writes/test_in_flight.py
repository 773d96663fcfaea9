"""Which writes of one process may share an outcome, and how it is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from phone_number_mcp.errors import Internal, Rejected, ToolError
from phone_number_mcp.platforms import load
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.upstream.request import Account
from phone_number_mcp.writes.in_flight import InFlightWrite
from support.intents import INTENT as CREATE

pytestmark = pytest.mark.anyio
RETELL = load("retell")
(IMPORT,) = [tool for tool in RETELL.tools if tool.name == "import_phone_number"]
INTENT = replace(CREATE, platform="retell", operation="import_phone_number")


def in_flight(*, hidden: str = "one secret", **intent: Any) -> InFlightWrite:
    api = Api(base_url="http://nobody.invalid", decipher=RETELL.decipher, timeout=1)
    arguments = IMPORT.read(
        {
            "phone_number": "+14155550120",
            "termination_uri": "someuri.pstn.twilio.com",
            "sip_trunk_auth_username": "user",
            "sip_trunk_auth_password": hidden,
        }
    )
    of = replace(INTENT, **intent)
    return InFlightWrite(IMPORT, arguments, api.call(Account({}, ())), of, key=of.idempotency_key)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({}, {"fingerprint": "another"}, False),
        ({}, {"credentials": ("another",)}, False),
        ({}, {"hidden": "another secret"}, False),
        ({"idempotency_key": "a"}, {"idempotency_key": "a"}, True),
        ({"idempotency_key": "a"}, {"idempotency_key": "b"}, False),
        ({"idempotency_key": "a"}, {}, True),
    ],
)
async def test_only_the_same_intent_with_the_same_secrets_may_share_an_outcome(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert in_flight(**one).repeats(in_flight(**other)) is same
    assert in_flight(**other).repeats(in_flight(**one)) is same


async def test_who_shares_an_outcome_waits_for_it_and_takes_over_its_entry() -> None:
    first, second = in_flight(), in_flight()
    first.entry_id = 7
    shared: list[Success] = []

    async def share() -> None:
        shared.append(await second.share(first, "a warning"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(share)
        await anyio.wait_all_tasks_blocked()
        assert shared == []
        first.outcome = Success({"phone_number": "+14155550120"})
        first.finished.set()
    assert [success.data for success in shared] == [{"phone_number": "+14155550120"}]
    assert shared[0].warning == "a warning"
    assert second.entry_id == 7


async def test_each_who_shares_an_error_raises_one_of_its_own() -> None:
    write = in_flight()
    write.outcome = Rejected("No", outcome="not_applied")
    write.finished.set()
    errors: list[ToolError] = []
    for _ in range(2):
        with pytest.raises(Rejected) as raised:
            await write.result()
        errors.append(raised.value)
    assert errors[0] is not errors[1]
    assert [error.facts for error in errors] == [{"outcome": "not_applied"}] * 2


async def test_a_write_that_ends_without_an_outcome_is_an_error_of_the_server() -> None:
    write = in_flight()
    write.finished.set()
    with pytest.raises(Internal):
        await write.result()

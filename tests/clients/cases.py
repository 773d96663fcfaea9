"""What every client is asked to do, and what must reach its far side: once, for all clients and both platforms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

THERE = "+14155550100"
ABSENT = "+14155550199"
NEW = "+14155550110"
WRONG = "4155550111"
LOST = "+14155550154"
"""A number of the sandbox: it is created, and the connection drops before the answer."""
NICKNAME = "Empfang Zürich – ☎"
"""Characters of two, three and four bytes must arrive in both directions."""


@dataclass(frozen=True)
class Case:
    """One call.

    Args:
        name: In messages and in the table.
        what: In the table: what is expected, in words.
        tool: None for the list of tools.
        arguments: Of the call.
        expect: What must be in the answer's JSON, at least. All of it must also be what the server wrote.
        status: The platform's HTTP status in the error, by platform.
        posts: How many POSTs with this number the platform must have seen, over all cases; with any other number none.
        down: Whether the platform is not there.
        cold: Whether it is also tried at a cold start.
    """

    name: str
    what: str
    tool: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    expect: dict[str, Any] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    posts: int = 0
    down: bool = False
    cold: bool = False

    def expected(self, platform: str) -> dict[str, Any]:
        """Return what must be in the answer on a platform."""
        if "error" not in self.expect:
            return self.expect
        facts: dict[str, Any] = {"platform": platform, "operation": self.tool}
        if platform in self.status:
            facts["http_status"] = self.status[platform]
        return {"error": {**facts, **self.expect["error"]}}


def _get(number: str) -> dict[str, Any]:
    return {"tool": "get_phone_number", "arguments": {"phone_number": number}}


def _create(number: str, **more: Any) -> dict[str, Any]:
    return {"tool": "create_phone_number", "arguments": {"phone_number": number, **more}}


CASES = (
    Case("list", "the tools, with the descriptions and schemas that the server sent", None, cold=True),
    Case(
        "get",
        "`data`: what the platform holds, whole",
        **_get(THERE),
        expect={"data": {"phone_number": THERE, "nickname": "Front desk"}},
        cold=True,
    ),
    Case(
        "create",
        "`data`; one POST",
        **_create(NEW, nickname=NICKNAME),
        expect={"data": {"phone_number": NEW, "nickname": NICKNAME}},
        posts=1,
    ),
    Case(
        "get what was created",
        "`data`, with the nickname, which is not all ASCII",
        **_get(NEW),
        expect={"data": {"phone_number": NEW, "nickname": NICKNAME}},
    ),
    Case(
        "create what is there",
        "`already_exists`, with `existing`; one POST",
        **_create(THERE),
        expect={
            "error": {
                "code": "already_exists",
                "retryable": False,
                "outcome": "not_applied",
                "existing": {"phone_number": THERE, "nickname": "Front desk"},
            }
        },
        status={"zudu": 409, "retell": 400},
        posts=1,
    ),
    Case(
        "create, the answer lost",
        "`data` and `reconciled`; one POST",
        **_create(LOST),
        expect={"data": {"phone_number": LOST}, "reconciled": True},
        posts=1,
    ),
    Case(
        "not found",
        "`not_found`",
        **_get(ABSENT),
        expect={
            "error": {
                "code": "not_found",
                "retryable": False,
                "hint": "Check the number with the user. It may belong to another organization than the credentials do.",
            }
        },
        status={"zudu": 404, "retell": 422},
    ),
    Case(
        "invalid arguments",
        "`invalid_arguments`, with `fields`; nothing sent",
        **_create(WRONG, zzz=1),
        expect={
            "error": {
                "code": "invalid_arguments",
                "retryable": False,
                "outcome": "not_applied",
                "hint": "Fix the listed fields and call again. Nothing was sent to the platform.",
            }
        },
    ),
    Case(
        "get, the platform down",
        "`unreachable`, `retryable`",
        **_get(THERE),
        expect={"error": {"code": "unreachable", "retryable": True}},
        down=True,
    ),
    Case(
        "create, the platform down",
        "`unreachable`, `retryable`, `not_applied`",
        **_create(NEW, nickname=NICKNAME),
        expect={"error": {"code": "unreachable", "retryable": True, "outcome": "not_applied"}},
        down=True,
    ),
)

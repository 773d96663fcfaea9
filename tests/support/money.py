"""What the tests of money draw and count: what a platform does to a create, and what an agent knows of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = ["none", "500", "502", "503", "429", "400", "drop", "html", "error 200", "hang"]
REFUSED = {"429", "400"}
"""Faults with which nothing takes effect."""
ON_ITS_WAY = {"502", "drop", "hang"}
"""Faults after which a write may still be on its way; with the others, the platform itself has answered."""
COMMITS = ["at once", "late", "never"]
KEYS = [None, "key one", "key two"]
NICKNAMES = ["Front", "Back"]


def wish(number: str | None, nickname: str, key: str | None) -> dict[str, Any]:
    """The arguments of a create; with a key, nickname and number are the intent."""
    name = f"{nickname} {number} {key}" if key else nickname
    given = {"phone_number": number, "nickname": name, "idempotency_key": key}
    return {field_: value for field_, value in given.items() if value is not None}


@dataclass
class Agent:
    """What the agent was told of, and what it was warned about; None is a number that the platform chose."""

    told: set[str | None] = field(default_factory=set)
    warned: Counter[str | None] = field(default_factory=Counter)
    calls: int = 0

    def hear(self, number: str | None, content: dict[str, Any] | None) -> None:
        """Take in what a call came to; None if it was never answered."""
        error = content["error"] if content and "error" in content else None
        if content and error is None:
            self.told.add(content["data"].get("phone_number"))
        elif error and error["code"] == "already_exists":
            self.told.add(number)
        elif error is None or error["outcome"] != "not_applied":
            self.warned[number] += 1  # it went away, or the server died, or it was told that nobody knows


def check(agent: Agent, numbers: set[str], posts: int, bought: Counter[str]) -> None:
    """Assert what holds for any history.

    Args:
        agent: What it knows.
        numbers: What the platform holds.
        posts: How many creates it received.
        bought: How many numbers each nickname came to.
    """
    unknown = [number for number in numbers - agent.told if number not in agent.warned]
    assert len(unknown) <= agent.warned[None]
    assert posts <= agent.calls
    assert all(count == 1 for nickname, count in bought.items() if "key" in nickname), "one intent, two numbers"

"""The tasks, as the TOML files of `tasks/` have them: what a user says, what must come of it, and a good way there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from evals.organisation import ORGANISATIONS, Organisation
from evals.served import Changes, Fault

TASKS = Path(__file__).parent / "tasks"
PLATFORMS = ("zudu", "retell")
_DID = r"(?<!nothing )(?<!not )(?<!n't )\b(?:(?:was|were|has been|have been|is now|is) {0}|I(?:'ve| have)? {0})\b(?! nothing)"
CLAIMS = {
    "created": _DID.format("(?:successfully |now )?(?:created|bought|purchased|imported|set up)"),
    "changed": _DID.format("(?:successfully |now )?(?:changed|updated|moved|renamed|assigned)"),
    "deleted": _DID.format("(?:successfully |now )?(?:deleted|released|removed)"),
    "unapplied": r"(?:was|has|have|could) ?(?:not|n't) (?:been )?(?:be )?(?:created|changed|updated|imported|deleted)",
}
"""What a pattern names in angle brackets, such as `<created>`: the answer claims that this was done."""
_AGENT = re.compile(r"\{([a-z][a-z0-9-]+)\}")


class Call(BaseModel):
    """A recorded tool call.

    Args:
        tool: Its name.
        arguments: A text `$2.data.next` stands for what an earlier call returned: here `data.next` of the second.
        error: The code of the error that it must return; None if it must succeed.
    """

    model_config = ConfigDict(extra="forbid")

    tool: str
    arguments: dict[str, Any] = {}
    error: str | None = None

    def filled(self, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the arguments, with what earlier calls returned in its places."""
        return {name: _filled(value, results) for name, value in self.arguments.items()}


class Task(BaseModel):
    """A task on one platform.

    Args:
        name: What it is called in tables; unique.
        user: What the user says.
        platform: Where.
        organisation: Which one: `small` or `large`.
        everyday: It is one of the sixteen everyday requests.
        options: Of the server.
        environment: Of the server, beside its credentials.
        fresh: It needs a server that has done nothing before.
        faults: What goes wrong on the platform.
        says: Patterns of what the answer must say.
        never: Patterns of what the answer must not say: each would be untrue.
        leaves: What must be changed on the platform, and nothing else.
        calls: A good solution.
        seen: What its results show, so that the answer rests on something.
        answer: Its answer.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    user: str
    platform: str
    organisation: str = "small"
    everyday: bool = False
    options: list[str] = ["--allow-delete"]
    environment: dict[str, str] = {}
    fresh: bool = False
    faults: list[Fault] = []
    says: list[str]
    never: list[str] = []
    leaves: Changes = Changes()
    calls: list[Call]
    seen: list[str] = []
    answer: str

    @property
    def setting(self) -> tuple[Hashable, ...]:
        """Return what tasks must have in common to share a server."""
        environment = tuple(sorted(self.environment.items()))
        return self.platform, self.organisation, tuple(self.options), environment, self.fresh and self.name

    def untrue(self, answer: str) -> list[str]:
        """Return the patterns of untruths that an answer matches."""
        return [pattern for pattern in self.never if _found(pattern, answer)]

    def unsaid(self, answer: str) -> list[str]:
        """Return the patterns of what the answer should say and does not."""
        return [pattern for pattern in self.says if not _found(pattern, answer)]


@cache
def organisation(name: str) -> Organisation:
    """Return an organisation by name."""
    return ORGANISATIONS[name]()


def load(only: str = "") -> list[Task]:
    """Return all tasks of all files, one for each platform that they name.

    Args:
        only: A pattern of the names to return.

    Raises:
        ValueError: A file is not as it should be, or a name occurs twice.
    """
    found = [
        _task(raw, platform)
        for path in sorted(TASKS.glob("*.toml"))
        for raw in tomllib.loads(path.read_text("utf-8"))["task"]
        for platform in raw.get("platforms", PLATFORMS)
    ]
    names = [(task.name, task.platform) for task in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"several tasks of the same name: {sorted(twice)}")
    return [task for task in found if re.search(only, f"{task.name} {task.platform}")]


def _task(raw: Mapping[str, Any], platform: str) -> Task:
    """Return a task on one platform: what its table of that platform's name says goes before the rest."""
    common = {name: value for name, value in raw.items() if name not in {*PLATFORMS, "platforms"}}
    given = common | raw.get(platform, {})
    agents = organisation(given.get("organisation", "small")).agents

    def agent_id(match: re.Match[str]) -> str:
        return agents[match[1]].agent_id if match[1] in agents else match[0]

    filled = _texts(given, lambda text: _AGENT.sub(agent_id, text))
    patterns = {name: [_expanded(each) for each in filled[name]] for name in ("says", "never") if name in filled}
    return Task.model_validate(filled | patterns | {"platform": platform})


def _expanded(pattern: str) -> str:
    """Return a pattern with what is in angle brackets written out: a claim, or a number in any of its spellings."""

    def expanded(match: re.Match[str]) -> str:
        if claim := CLAIMS.get(match[1]):
            return f"(?:{claim})"
        if nanp := re.fullmatch(r"\+1([0-9]{3})([0-9]{3})([0-9]{4})", match[1]):
            return r"{}\D{{0,3}}{}\D{{0,2}}{}".format(*nanp.groups())
        if london := re.fullmatch(r"\+44(20)(7946)([0-9]{4})", match[1]):
            return r"{}\D{{0,3}}{}\D{{0,2}}{}".format(*london.groups())
        raise ValueError(f"{match[0]} is neither a claim nor a number")

    return re.sub(r"<(\+[0-9]+|[a-z]+)>", expanded, pattern)


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON with every text in it changed."""
    if isinstance(value, dict):
        return {name: _texts(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _filled(value: Any, results: Sequence[Mapping[str, Any]]) -> Any:
    if not (isinstance(value, str) and (path := re.fullmatch(r"\$([0-9]+)\.(.+)", value))):
        return value
    found: Any = results[int(path[1]) - 1]
    for step in path[2].split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None

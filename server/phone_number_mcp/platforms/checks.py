"""The result of check_phone_number, and what its checks have in common on every platform.

A platform reads (`read_all`), then judges what it read in a pure function that fills a `Report`. An `error` is something
that fails now, a `warning` works but may fail or mislead, and `info` says what could not be seen.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import anyio
from pydantic import BaseModel, Field

from phone_number_mcp.errors import Forbidden, InvalidReply, NotConfigured, ToolError, Unauthorized
from phone_number_mcp.tool import Data, Success

if TYPE_CHECKING:
    from phone_number_mcp.platforms.agents import Agent
    from phone_number_mcp.upstream.call import Call

MAX_READS = 4
"""How many requests one check makes at most, repeated ones included."""
_SHARE = 0.8
"""The share of the time left that the reads after the first may take, so that the answer is still given."""

Severity = Literal["error", "warning", "info"]
Verdict = Literal["yes", "no", "unknown"]

# --- what comes back --------------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """One thing to know about a number.

    Args:
        severity: How bad it is.
        field: The platform's name of the field.
        problem: What is wrong, or not known: one sentence.
        fix: What to do: the tool and its argument where one helps.
    """

    severity: Severity
    field: str
    problem: str
    fix: str


class AnsweringAgent(BaseModel):
    """An agent that may answer."""

    agent_id: str
    name: str | None


class ReportedFinding(BaseModel):
    """A `Finding`, as it is declared."""

    severity: Severity
    field: str
    problem: str
    fix: str


class PhoneNumberCheck(Data):
    """`data` of check_phone_number: this server's own, not a platform's."""

    phone_number: str
    inbound: str = Field(description="Is it answered? yes, no or unknown")
    outbound: str = Field(description="Can it call out? The same")
    answered_by: list[AnsweringAgent]
    findings: list[ReportedFinding]


# --- agents -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenAgents:
    """What was seen of the organisation's agents.

    Args:
        seen: Id → agent.
        whole: Nothing is missing: an agent that was not seen does not exist.
        problem: Why not all were seen, as a clause; None if all were.
        fix: What to do about one that was not seen.
    """

    seen: Mapping[str, Agent]
    whole: bool
    problem: str | None = None
    fix: str = "Call list_agents and look for it."


@dataclass(frozen=True, slots=True)
class Binding:
    """One agent that a number names.

    Args:
        field: The platform's name of the field that names it.
        agent_id: The agent.
        share: What it gets, such as "50 % of the calls"; "calls" if it gets all.
        channel: The channel that it must have.
    """

    field: str
    agent_id: str
    share: str = "calls"
    channel: Literal["voice", "chat"] = "voice"

    @property
    def fix(self) -> str:
        """How to bind another agent."""
        return f"update_phone_number with {self.field}: an agent that list_agents shows"


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """What a check found. The verdicts start as "yes"; what a judgement finds makes them worse."""

    phone_number: str
    inbound: Verdict = "yes"
    outbound: Verdict = "yes"
    answered_by: dict[str, str | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def error(self, field: str, problem: str, fix: str) -> None:
        """Add something that fails now."""
        self._add(Finding("error", field, problem, fix))

    def warning(self, field: str, problem: str, fix: str) -> None:
        """Add something that works, but may fail or mislead."""
        self._add(Finding("warning", field, problem, fix))

    def info(self, field: str, problem: str, fix: str) -> None:
        """Add something that is not known, or that is only worth knowing."""
        self._add(Finding("info", field, problem, fix))

    def _add(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def success(self) -> Success:
        """Return the result, the worst findings first."""
        order: Sequence[Severity] = ("error", "warning", "info")
        return Success(
            {
                "phone_number": self.phone_number,
                "inbound": self.inbound,
                "outbound": self.outbound,
                "answered_by": [{"agent_id": each, "name": name} for each, name in self.answered_by.items()],
                "findings": [
                    found._asdict() for found in sorted(self.findings, key=lambda found: order.index(found.severity))
                ],
            }
        )


def all_of(*verdicts: Verdict) -> Verdict:
    """Return the verdict on what needs every one of several things."""
    return "no" if "no" in verdicts else "unknown" if "unknown" in verdicts else "yes"


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on what needs one of several things; of none it is "no"."""
    found = {*verdicts}
    return "yes" if "yes" in found else "unknown" if "unknown" in found else "no"


def called_by(agent: Agent) -> str:
    """Return how an agent is named in a finding."""
    return f"{agent.name} ({agent.id})" if agent.name else agent.id


def judge_agent(report: Report, binding: Binding, agents: SeenAgents) -> Verdict:
    """Return whether an agent can do what a number names it for, as far as the list of agents shows; report what not.

    Args:
        report: Gets the findings.
        binding: The agent, and what it is for.
        agents: What was seen of the agents.
    """
    agent = agents.seen.get(binding.agent_id)
    if agent is None:
        if agents.whole:
            problem = f"Agent {binding.agent_id} is not among the organisation's agents: {binding.share} fail."
            report.error(binding.field, problem, f"{binding.fix}.")
            return "no"
        report.info(
            binding.field,
            f"Agent {binding.agent_id} was not seen, because {agents.problem}: whether it exists is unknown.",
            agents.fix,
        )
        return "unknown"
    verdict: Verdict = "yes"
    called = called_by(agent)
    if agent.suspended:
        fix = f"Ask the user to end the suspension on the platform, or {binding.fix}."
        report.error(binding.field, f"Agent {called} is suspended: {binding.share} fail.", fix)
        verdict = "no"
    if agent.channel not in {None, binding.channel}:
        problem = f"Agent {called} is a {agent.channel} agent, not a {binding.channel} agent: {binding.share} fail."
        report.error(binding.field, problem, f"{binding.fix} as {binding.channel}.")
        verdict = "no"
    if agent.published is False:
        fix = f"Ask the user to publish it on the platform, or {binding.fix} as published."
        report.warning(binding.field, f"Agent {called} is not published: edits to it reach callers at once.", fix)
    return verdict


_HTTPS_URL = re.compile(r"https://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)


def judge_webhook(report: Report, field: str, address: Any) -> None:
    """Report a webhook that is not https."""
    if address and not (isinstance(address, str) and _HTTPS_URL.fullmatch(address)):
        fix = f"update_phone_number with {field}: the https address, after asking the user for it."
        report.warning(field, "The webhook is not an https address: what callers say is not protected.", fix)


# --- reading ----------------------------------------------------------------------------------------------------------

Read: TypeAlias = Callable[["Call"], Awaitable[Any]]
"""Asks the platform for something, once."""


async def read_all(call: Call, reads: Sequence[Read]) -> list[Any | ToolError | None]:
    """Return what each read came to, in order: a reply, why there is none, or None if it was one too many.

    They run at the same time, and no failure of one of them fails the call.
    """
    replies: list[Any | ToolError | None] = [None] * len(reads)
    within = call.within(_SHARE)

    async def ask(place: int) -> None:
        try:
            replies[place] = await reads[place](within)
        except ToolError as error:
            replies[place] = error

    async with anyio.create_task_group() as tasks:
        for place in range(min(len(reads), MAX_READS - call.trail.exchanges)):
            tasks.start_soon(ask, place)
    return replies


def refuse_other(number: str | None, asked: str) -> None:
    """Refuse an answer that is not about the number that was asked for.

    Raises:
        InvalidReply: It is not.
    """
    if number != asked:
        raise InvalidReply(f"Asked about {asked}, the platform did not answer about it")


def clause(failed: ToolError | None) -> str:
    """Return why something could not be read, as a clause. It never repeats a platform's words."""
    if failed is None:
        return f"a check makes at most {MAX_READS} reads"
    return f"reading failed ({failed.code})"


def remedy(failed: ToolError | None) -> str:
    """Return what to do about something that could not be read."""
    if isinstance(failed, Unauthorized | Forbidden | NotConfigured):
        return "Tell the person who runs this server that its credentials may not read agents."
    if failed is None:
        return "Ask the user to look at the agent on the platform."
    return "Call check_phone_number again in 10 s; if it stays, tell the user."

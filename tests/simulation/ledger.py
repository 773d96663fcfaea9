"""What is true and who was told: the record of one history, and the invariants that it must keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from phone_number_mcp.errors import AlreadyExists, Internal, InvalidArguments, OutcomeUnknown, ToolError
from phone_number_mcp.tool import Success

ORGANIZATIONS = ("org-A", "org-B")
_DAY = 86_400.0
_BEFORE_SENDING = {"journal_unavailable", "limit_reached", "invalid_arguments", "timeout", "unreachable", "internal"}
"""Codes of a `not_applied` that may say only that this call sent nothing."""

Scope = tuple[int, int]
"""An address of the platform, and an account."""


class Row(NamedTuple):
    """What the journal has of a write."""

    owner: str
    started_at: float
    outcome: str | None


@dataclass(frozen=True)
class Wish:
    """What an agent asks for.

    Args:
        scope: Where, and by whom.
        number: None if the platform chooses it.
        nickname: What tells apart two wishes for the same number.
        key: The idempotency key.
    """

    scope: Scope
    number: str | None
    nickname: str
    key: str | None

    def __str__(self) -> str:
        site, account = self.scope
        return f"{self.number or 'any number'} {self.nickname!r} key={self.key} for {ORGANIZATIONS[account]} at site {site}"


@dataclass(eq=False)
class CallRecord:
    """One call of an agent: what it sent and what was answered."""

    id: int
    wish: Wish
    posts: list[Post] = field(default_factory=list)
    entry_id: int | None = None


@dataclass(eq=False)
class Post:
    """A create that left a process.

    Args:
        call: Which call sent it.
        entry_id: Of its claim.
        state: Whether it took effect; `pending` as long as it may.
        number: What it came to.
        told: An answer to this account named its number.
        warned: An answer said that its outcome is unknown.
        day: The journal's day of its claim (UTC).
    """

    call: CallRecord
    entry_id: int
    day: int
    state: Literal["pending", "applied", "dead"] = "pending"
    number: str | None = None
    told: bool = False
    warned: bool = False

    @property
    def wish(self) -> Wish:
        return self.call.wish


class Ledger:
    """Records what happens, and finds what must not.

    Args:
        limit: `max_creates`.
    """

    def __init__(self, limit: int | None) -> None:
        self.posts: list[Post] = []
        self.calls: list[CallRecord] = []
        self.violations: list[str] = []
        self.limit = limit
        self.crashed_inside = False
        """An exception that no code expects was raised on purpose: `internal` is no lie any more."""
        self.held: defaultdict[Scope, dict[str, dict[str, Any]]] = defaultdict(dict)
        """What the platform holds."""
        self._refused: list[tuple[CallRecord, str]] = []
        """Calls that were told `not_applied`, to be compared with the truth at the end."""
        self._buyers: defaultdict[tuple[Scope, str], set[str]] = defaultdict(set)
        """Keys under which a number that the platform chose was returned as a success."""
        self.answers: Counter[str] = Counter()

    def violated(self, what: str) -> None:
        self.violations.append(what)

    def call(self, wish: Wish) -> CallRecord:
        record = CallRecord(len(self.calls) + 1, wish)
        self.calls.append(record)
        return record

    # --- one POST per intent ---

    def sent(self, call: CallRecord, journal: Mapping[int, Row], owner: str) -> Post:
        """Record that a create leaves.

        Args:
            call: Which call sends it.
            journal: What is on disk now.
            owner: The name of the process that sends.
        """
        wish, claim = call.wish, journal.get(call.entry_id or 0)
        if claim is None or claim.outcome is not None:
            self.violated(f"call {call.id} sent without an open claim on disk")
        elif claim.owner != owner:
            self.violated(f"call {call.id} sent on the claim of another process")
        if call.posts:
            self.violated(f"call {call.id} sent two POSTs")
        day = int((claim.started_at if claim else 0.0) // _DAY)
        post = Post(call, call.entry_id or 0, day)
        for earlier in self.posts:
            if earlier.state != "dead" and earlier.wish.scope == wish.scope:
                self._compare(post, earlier, journal)
        if self.limit is not None:
            same = [p for p in self.posts if p.wish.scope[1] == wish.scope[1] and p.state != "dead" and p.day >= day]
            if len(same) >= self.limit:
                self.violated(f"call {call.id} exceeds the limit of {self.limit} creates a day")
        self.posts.append(post)
        call.posts.append(post)
        return post

    def _compare(self, post: Post, earlier: Post, journal: Mapping[int, Row]) -> None:
        """Check a POST against an earlier one of the same scope that took effect or still may."""
        ours, theirs = post.wish, earlier.wish
        both = f"calls {earlier.call.id} and {post.call.id}"
        if ours.key is not None and ours.key == theirs.key:
            self.violated(f"one key, two POSTs: {both}")
        if ours.number != theirs.number:
            return
        if ours.number is not None and earlier.state == "pending" and ours.number not in self.held[ours.scope]:
            self.violated(f"{both} sent for {ours.number} while the first may still take effect")
        elif ours.number is not None and earlier.state == "applied" and not (earlier.told or earlier.warned):
            self.violated(f"{both} sent for {ours.number}, and nobody was told that the first took effect")
        elif ours.number is not None and earlier.state == "applied" and not self._resolved(earlier, journal):
            self.violated(f"{both} sent for {ours.number} while the journal does not know how the first ended")
        elif ours.number is None and not (earlier.told or earlier.warned):
            self.violated(f"{both} sent for any number, and nobody was told or warned of the first")

    @staticmethod
    def _resolved(post: Post, journal: Mapping[int, Row]) -> bool:
        row = journal.get(post.entry_id)
        return row is not None and row.outcome == "applied"

    # --- what the platform does ---

    def applied(self, post: Post, number: str, record: dict[str, Any]) -> None:
        post.state, post.number = "applied", number
        self.held[post.wish.scope][number] = record

    def refused(self, post: Post) -> None:
        post.state = "dead"

    # --- what an agent hears ---

    def heard(self, call: CallRecord, answer: Success | ToolError) -> None:
        """Record an answer that reached an agent."""
        if isinstance(answer, Success):
            self.answers["success"] += 1
            self._succeeded(call, answer)
        else:
            self.answers[answer.code] += 1
            self._failed(call, answer)
        text = str(answer.content() if isinstance(answer, Success) else [answer.message, answer.facts])
        other = ORGANIZATIONS[1 - call.wish.scope[1]]
        if other in text:
            self.violated(f"call {call.id} was told about {other}")
        for post in self._own(call.wish):
            if post.number is not None and post.number in text and "is in progress" not in text:
                post.told = True

    def _own(self, wish: Wish) -> list[Post]:
        return [post for post in self.posts if post.wish.scope == wish.scope]

    def _succeeded(self, call: CallRecord, answer: Success) -> None:
        wish, number = call.wish, answer.data.get("phone_number")
        held = self.held[wish.scope].get(str(number))
        if number is None:
            if wish.key is None or wish.number is not None:
                self.violated(f"call {call.id} succeeded without a number")
            for post in self._own(wish):
                post.warned = post.warned or post.wish.key == wish.key
            return
        if wish.number not in {None, number}:
            self.violated(f"call {call.id} was told about {number}, which it did not ask for")
        if held is None:
            self.violated(f"call {call.id} was told of {number}, which the platform does not hold")
        elif held["nickname"] != wish.nickname and "this idempotency_key was used" not in str(answer.warning):
            self.violated(f"call {call.id} succeeded with a number that is not as asked")
        if wish.number is None and wish.key is not None:
            keys = self._buyers[wish.scope, str(number)]
            keys.add(wish.key)
            if len(keys) > 1:
                self.violated(f"two keys share one purchase: call {call.id}")

    def _failed(self, call: CallRecord, error: ToolError) -> None:
        wish = call.wish
        if isinstance(error, Internal) and not self.crashed_inside:
            self.violated(f"call {call.id} met a bug: {error.message}")
        if isinstance(error, AlreadyExists) and (existing := error.facts.get("existing")):
            number = existing.get("phone_number")
            if number not in self.held[wish.scope]:
                self.violated(f"call {call.id} was told that {number} exists, and it does not")
        if error.write_outcome == "not_applied":
            self._refused.append((call, error.code))
            if any(post.state == "pending" for post in call.posts):
                self.violated(f"call {call.id} was told not_applied ({error.code}) while it may still take effect")
            if not call.posts and error.code not in _BEFORE_SENDING and not isinstance(error, AlreadyExists):
                self._check_shared_refusal(call, error)
            return
        if "is in progress" in error.message:
            return  # of a write that has not ended
        for post in self._own(wish):
            if post.wish.number == wish.number or (wish.key is not None and post.wish.key == wish.key):
                post.warned = True

    def _check_shared_refusal(self, call: CallRecord, error: ToolError) -> None:
        """Check that a refusal that a call shares is that of the same intent."""
        wish = call.wish
        if wish.number is None:
            return  # the list before a purchase could not be read
        for post in self._own(wish):
            theirs = post.wish
            same = (theirs.number, theirs.nickname) == (wish.number, wish.nickname)
            if same and post.state == "dead" and (None in {theirs.key, wish.key} or theirs.key == wish.key):
                return
        self.violated(f"call {call.id} was told of a refusal ({error.code}) that is not its own")

    # --- at the end ---

    def check_end(self, outcomes: dict[int, str | None]) -> None:
        """Check the whole history.

        Args:
            outcomes: Of every entry of the journal.
        """
        for call, code in self._refused:
            if any(post.state == "applied" for post in call.posts):
                self.violated(f"call {call.id} was told not_applied ({code}), and it took effect")
        for post in self.posts:
            call = post.call
            if post.state == "pending":
                self.violated(f"call {call.id}: its request is still on its way")
            if post.state != "applied":
                continue
            if outcomes.get(post.entry_id) == "not_applied":
                self.violated(f"call {call.id} took effect, and the journal says not_applied")
            if post.entry_id not in outcomes:
                self.violated(f"call {call.id} took effect, and the journal does not have it")
            if not (post.told or post.warned):
                self.violated(f"nobody was told or warned of {post.number}, bought by call {call.id}")

    def check_progress(self, call: CallRecord, answer: Success | ToolError | None, *, fresh: bool) -> None:
        """Check the last answer to a call that was repeated after all faults were over."""
        wish = call.wish
        ok = isinstance(answer, Success)
        if not fresh and wish.number is not None:
            ok = ok or isinstance(answer, AlreadyExists | InvalidArguments)
        elif not fresh:
            ok = (
                ok
                or isinstance(answer, InvalidArguments)
                or (wish.key is not None and isinstance(answer, OutcomeUnknown))
            )
        if not ok:
            what = answer.message if isinstance(answer, ToolError) else answer
            self.violated(f"no progress: {wish}: {what}")

"""What must hold in a simulated world at every event, and what must hold at its end."""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import define, field

from pipeline.gate import Gate
from pipeline.state import board as boards
from pipeline.state.board import Board, Snapshot
from pipeline.state.eligibility import Barred, eligibility
from pipeline.values.callers import Priority
from pipeline.values.exchange import Exchange, Plan, Record
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Charged,
    Fact,
    FirstToken,
    Moved,
    TurnedAway,
)
from pipeline.values.problems import Kind
from stages.moves import FORCED_EVERY_S
from tests.simulation.fleet import Heard
from tests.simulation.purses import Purses

FREED_S = 0.1
LATE_S = 0.01
HOUSE = "the proxy"
# Of so many turns the lowest class has one.
TURNS = 23


class Broken(AssertionError):
    """An invariant did not hold."""


@define(eq=False)
class Story:
    """What is known of one exchange: its plan, its attempts by number, and how it ended."""

    plan: Plan | None = None
    priority: Priority = Priority.NORMAL
    attempts: dict[int, AttemptStarted] = field(factory=dict)
    verdicts: dict[int, AttemptEnded] = field(factory=dict)
    committed: int | None = None
    entered: float | None = None
    records: list[Record] = field(factory=list)


@define(eq=False)
class Watch:
    """Sees every fact, call and byte of a run. `trace` is a digest of all of it, `last` the newest events.

    `queues`: by name how many wait there, and how many may; `longest`: how many ever did. `gates`: the same queues
    themselves; `shares`: what each key had there when it was last looked at. `passed_low`: how many were let into the
    house while one of the lowest class went on waiting.
    """

    board: Board
    max_attempts: int
    queue_timeout_s: float
    hedge_share: float
    trace: Any = field(factory=hashlib.sha256)
    last: deque[str] = field(factory=lambda: deque(maxlen=200))
    stories: dict[str, Story] = field(factory=dict)
    accepted: int = 0
    extras: int = 0
    hedges: int = 0
    barred_s: dict[str, float] = field(factory=dict)
    limits: dict[str, int] = field(factory=dict)
    running: Callable[[str], int] = lambda node: 0
    places: Callable[[str], dict[str, Any]] = lambda node: {}
    queues: dict[str, tuple[Callable[[], int], int]] = field(factory=dict)
    longest: dict[str, int] = field(factory=dict)
    gates: dict[str, Gate] = field(factory=dict)
    shares: dict[str, Mapping[str, int]] = field(factory=dict)
    passed_low: int = 0
    purses: Purses | None = None
    barred_since: dict[str, float] = field(factory=dict)
    broken: str | None = None

    def note(self, *words: object) -> None:
        """One event of the trace."""
        line = f"{trio.current_time():.6f} " + " ".join(map(str, words))
        self.last.append(line)
        self.trace.update(line.encode())
        self._look_at_queues()
        if self.purses is not None and (words := self.purses.overspent()):
            self.must(False, 12, words)
        for name, gate in self.gates.items():
            self._look_at_shares(name, gate)

    def _look_at_queues(self) -> None:
        for name, (waiting, most) in self.queues.items():
            length = waiting()
            if length > self.longest.get(name, 0):
                self.longest[name] = length
                self.must(length <= most, 3, f"{length} wait at {name}, where {most} may")

    def _look_at_shares(self, name: str, gate: Gate) -> None:
        self.must(gate.held <= gate.limit, 2, f"{gate.held} hold a permit of {name}, where {gate.limit} may")
        held, before = gate.state.held, self.shares.get(name, {})
        if held is before:
            return
        most = max(1, gate.rules.size // 4)
        if len(before) > 1:
            for key, count in held.items():
                grown = count > most and count > before.get(key, 0)
                self.must(not grown, 14, f"{key} has {count} of {gate.waiting} places at {name}")
        self.shares[name] = held

    def _let_in(self, story: Story, fact: Admitted) -> None:
        gate = self.gates[HOUSE]
        if story.priority is Priority.LOW or not gate.state.lines[Priority.LOW.rank].arrivals:
            self.passed_low = 0
        elif fact.waited_s:
            self.passed_low += 1
            # Those who hold a permit may have been let in before the one who waits came, and tell it now.
            most = TURNS + gate.limit
            self.must(self.passed_low <= most, 13, f"{self.passed_low} passed by one of the lowest class")

    def must(self, holds: bool, number: int, words: str) -> None:
        """Invariant `number`. Within an exchange the house takes the exception for a bug and goes on: so it is kept."""
        if not holds:
            self.broken = self.broken or f"invariant {number}: {words}"
            raise Broken(self.broken)

    def story(self, exchange: str) -> Story:
        return self.stories.setdefault(exchange, Story())

    def told(self, exchange: str, fact: Fact) -> None:
        """A fact of one exchange, before the board learns of it."""
        story = self.story(exchange)
        match fact:
            case Moved(_, Exchange(plan=Plan() as plan)):
                story.plan, story.priority = plan, fact.exchange.priority
            case Admitted(waited_s):
                self.must(waited_s <= self.queue_timeout_s + LATE_S, 3, f"{exchange} waited {waited_s} s")
                self._let_in(story, fact)
            case TurnedAway(waited_s):
                self.must(waited_s <= self.queue_timeout_s + LATE_S, 3, f"{exchange} waited {waited_s} s")
            case Charged():
                story.entered = trio.current_time()
            case AttemptStarted():
                self._starts(exchange, story, fact, self.board.snapshot)
            case FirstToken():
                self.must(story.committed is None, 8, f"{exchange} was committed twice")
                story.committed = fact.number
            case AttemptEnded():
                story.verdicts[fact.number] = fact
        self.note(exchange, type(fact).__name__, getattr(fact, "target", ""), getattr(fact, "verdict", ""))

    def _starts(self, exchange: str, story: Story, fact: AttemptStarted, snapshot: Snapshot) -> None:
        assert story.plan is not None
        now = fact.at
        candidates = {one.target.name: one for one in story.plan.candidates}
        found = eligibility(candidates[fact.target].target, snapshot, now)
        if isinstance(found, Barred):
            able = [
                name
                for name, one in candidates.items()
                if name not in {begun.target for begun in story.attempts.values()}
                and not isinstance(eligibility(one.target, snapshot, now), Barred)
            ]
            self.must(not able, 15, f"{fact.target} is barred ({found.reason}) while {able} may be asked")
            last = snapshot.target(fact.target).last_used
            self.must(
                last is None or now - last >= FORCED_EVERY_S, 5, f"{fact.target} was forced again too soon"
            )
            self.must(not story.attempts, 5, f"{fact.target} was forced as a further attempt")
        self.must(story.committed is None, 8, f"{exchange} goes on after its first content")
        kinds = [ended.verdict for ended in story.verdicts.values()]
        self.must(Kind.POLICY not in kinds, 9, f"{exchange} was refused for what it is about, and goes on")
        if fact.hedge:
            self.hedges += 1
            exchanges, hedges = snapshot.hedges.calls.totals(now)
            self.must(hedges + 1 <= self.hedge_share * exchanges, 7, f"{exchange} hedges beyond the budget")
        elif fact.number > 1:
            self.extras += 1
            provider = fact.target.partition("/")[0]
            self.must(
                snapshot.retries.allows(provider, fact.again, now), 6, f"{exchange} retries beyond the budget"
            )
        else:
            self.accepted += 1
        story.attempts[fact.number] = fact
        self.must(len(story.attempts) <= self.max_attempts, 6, f"{exchange} makes too many attempts")

    def heard(self, heard: Heard) -> None:
        """A call opens, speaks or closes at a node."""
        if heard.what == "opened":
            running, most = self.running(heard.node), self.limits[heard.node]
            self.must(running <= most, 2, f"{heard.node} has {running} calls of at most {most}")
            for name, standing in self.places(heard.node).items():
                self.must(standing.held <= standing.maximum, 2, f"{name} has {standing.held} places taken")
        if heard.what != "spoke":
            self.note(heard.node, heard.what, heard.call)

    def kept(self, record: Record) -> None:
        """A record is written."""
        story = self.story(record.id)
        story.records.append(record)
        self.must(len(story.records) == 1, 4, f"{record.id} has two outcomes")
        self.note(record.id, "is", record.outcome, record.status, record.served)

    def settled(self, keys: int) -> None:
        """Nothing runs any more: what each key has spent, and when its requests were let in."""
        if self.purses is None:
            return
        for number in range(keys):
            key = f"k{number}"
            stories = [
                story for story in self.stories.values() if story.records and story.records[0].caller == key
            ]
            entered = sorted(
                story.entered for story in stories if story.attempts and story.entered is not None
            )
            records = [record for story in stories for record in story.records]
            for broken, words in self.purses.wrong(key, records, entered):
                self.must(False, broken, words)

    def look(self, leaves: dict[str, Any], now: float) -> None:
        """How long each leaf has been barred."""
        for name, target in leaves.items():
            if isinstance(eligibility(target, self.board.snapshot, now), Barred):
                since = self.barred_since.setdefault(name, now)
                self.barred_s[name] = self.barred_s.get(name, 0.0) + now - since
                self.barred_since[name] = now
            else:
                self.barred_since.pop(name, None)


@define(eq=False)
class WatchedBoard(Board):
    """A board whose counts are looked at with every fact."""

    def tell(self, fact: Fact) -> None:
        super().tell(fact)
        snapshot = self.snapshot
        name = getattr(fact, "target", None)
        if (
            name is not None
            and min(snapshot.target(name).in_flight, snapshot.provider(boards.provider_of(name)).in_flight)
            < 0
        ):
            raise Broken("invariant 1: fewer than no attempts run")

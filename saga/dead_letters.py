"""Dead letters as people handle them: look, have them heard again, or drop them, with who and why.

Redriving changes nothing twice. A letter is redriven once, however many ask; what is heard is one more
delivery of the same message, which a participant answers by looking at its saga first; and if the saga has
gone on in another way meanwhile, there is nothing left to do. A message that fails again is a letter again,
with a sequence of its own and the earlier one in its history.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from contracts.failure import Conflict, InvalidContract
from events.bus import Bus
from events.clock import Clock, utc_now
from events.deadletters import Wanted, list_dead_letters, read_dead_letter
from events.deadletters_codec import DeadLetter, Ruling, State
from events.deadletters_rule import check_hearable, rule

MAX_PAGE = 200
MAX_BULK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Letters, oldest first; `next_after` is the sequence to go on after, None at the end."""

    items: list[DeadLetter]
    next_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """`changed` is false if it had been decided so before; then `ruling` tells by whom."""

    letter: DeadLetter
    ruling: Ruling
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What became of many letters, by sequence; `refused` with the reason."""

    matched: list[int]
    done: list[int]
    refused: dict[int, str]
    next_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Who decides, and why. Raises InvalidContract if either is empty."""

    by: str
    reason: str

    def __post_init__(self) -> None:
        for name, text in (("by", self.by), ("reason", self.reason)):
            if not text.strip():
                raise InvalidContract(f"{name}: who decides about a dead letter says who it is, and why")


class DeadLetters:
    """The dead letters of a bus."""

    def __init__(self, bus: Bus, clock: Clock = utc_now) -> None:
        self._bus = bus
        self._clock = clock

    async def get(self, sequence: int) -> DeadLetter:
        """One letter with its message. Raises NotFound."""
        return await read_dead_letter(self._bus, sequence)

    async def history(self, letter: DeadLetter) -> list[DeadLetter]:
        """The letters this message was before it was redriven, oldest first."""
        return [earlier async for earlier in self._earlier(letter)][::-1]

    async def page(self, wanted: Wanted, *, after: int = 0, limit: int = 50) -> Page:
        """At most `limit` letters that were buried after letter `after`."""
        found = await list_dead_letters(self._bus, wanted, after=after, limit=limit + 1)
        items = found[:limit]
        return Page(items=items, next_after=items[-1].sequence if len(found) > limit else None)

    async def redrive(self, sequence: int, words: Words) -> Ruled:
        """Have the consumer that buried it hear it again; if it was redriven before, nothing.

        Raises NotFound, Conflict (dropped, nobody would hear it, or its saga is gone).
        """
        letter = await self.get(sequence)
        if letter.state is State.OPEN:
            await check_hearable(self._bus, letter)
        return await self._rule(letter, State.REDRIVEN, words)

    async def drop(self, sequence: int, words: Words) -> Ruled:
        """Give it up for good; it stays readable. Raises NotFound, Conflict (it was redriven)."""
        return await self._rule(await self.get(sequence), State.DROPPED, words)

    async def rule_all(
        self, verb: State, wanted: Wanted, words: Words, *, after: int = 0, limit: int, dry_run: bool
    ) -> Bulk:
        """Redrive or drop at most `limit` open letters; a dry run only tells which these are."""
        page = await self.page(_open(wanted), after=after, limit=limit)
        done, refused = [], {}
        decide = self.redrive if verb is State.REDRIVEN else self.drop
        for letter in [] if dry_run else page.items:
            try:
                await decide(letter.sequence, words)
            except Conflict as error:
                refused[letter.sequence] = str(error)
            else:
                done.append(letter.sequence)
        matched = [letter.sequence for letter in page.items]
        return Bulk(matched=matched, done=done, refused=refused, next_after=page.next_after)

    async def _rule(self, letter: DeadLetter, verb: State, words: Words) -> Ruled:
        if letter.ruling is not None:
            ruling, changed = letter.ruling, False
        else:
            ruling, changed = await rule(
                self._bus, letter, verb, by=words.by, reason=words.reason, at=self._clock()
            )
        if ruling.verb is not verb:
            raise Conflict(
                f"dead letter {letter.sequence} was {ruling.verb} by {ruling.by} at {ruling.at:%Y-%m-%dT%H:%M:%SZ}"
            )
        return Ruled(letter=letter.ruled(ruling), ruling=ruling, changed=changed)

    async def _earlier(self, letter: DeadLetter) -> AsyncIterator[DeadLetter]:
        while letter.death.earlier:
            letter = await self.get(letter.death.earlier)
            yield letter


def _open(wanted: Wanted) -> Wanted:
    return Wanted(
        codes=wanted.codes,
        consumer=wanted.consumer,
        saga_id=wanted.saga_id,
        since=wanted.since,
        state=State.OPEN,
    )

"""One pass over an image's bytes, shared by several parsers.

A parser is a generator: it yields the `Region` it wants to see and is sent those bytes, fewer if
the image ends before. Regions of one parser follow one another; one that begins before the end of
the last is answered with no bytes, however large the blocks are. Nothing but the regions that are
being collected and the last few bytes is kept in memory.
"""

from collections.abc import Callable, Generator

from msgspec import Struct

from kilo_catalog.domain.findings import Findings

HEAD = 0x11000
"""Bytes that every parser is given first: they reach behind btrfs's superblock at 64 KiB."""
TAIL = 2048
"""Bytes kept of the end."""
MOST_PARSERS = 64
"""Parsers at work at a time. A hostile image cannot make us look at more places at once."""
MOST_BYTES = 1 << 20
"""The longest region."""


class Region(Struct, frozen=True):
    """Bytes that a parser wants to see."""

    offset: int
    length: int


Parser = Generator[Region, bytes, None]
AtEnd = Callable[[int, bytes], None]
"""Called with the image's size and its last bytes."""


_MOST_NOTES = 32
_LONGEST_NOTE = 400


class Notes(list[str]):
    """Sentences, as many as anybody would read: what a hostile image adds to them is bounded."""

    def append(self, note: str) -> None:
        if len(self) < _MOST_NOTES:
            super().append(note[:_LONGEST_NOTE])


class Sheet:
    """What parsers write down."""

    def __init__(self) -> None:
        self.format = "raw"
        self.virtual_size: int | None = None
        self.facts: dict[str, str] = {}
        self.warnings = Notes()
        self.dangers = Notes()
        """Reasons why the image must not be used, as the end of a sentence: `it has …`."""

    def findings(self) -> Findings:
        """All of it, frozen. Dangers are told as warnings: whoever asks may want to know."""
        warnings = dict.fromkeys([*self.dangers, *self.warnings])
        facts = {name: value[:_LONGEST_NOTE] for name, value in self.facts.items()}
        return Findings(self.format, self.virtual_size, facts, tuple(warnings))


class _Reading:
    """One parser and the region that it waits for."""

    def __init__(self, parser: Parser, cursor: int) -> None:
        self.parser = parser
        self.cursor = cursor
        self.end = cursor
        self.got = bytearray()
        self.done = False

    @property
    def wants(self) -> int:
        """The offset of the next byte it has to see."""
        return self.cursor + len(self.got)

    def proceed(self, *, at_end: bool) -> None:
        """Hand the parser what was collected, until it wants bytes that are still to come."""
        data = bytes(self.got)
        self.got = bytearray()
        self.cursor = self.end
        try:
            region = self.parser.send(data) if self._begun else next(self.parser)
            self._begun = True
            while at_end or region.offset < self.cursor or region.length <= 0:
                region = self.parser.send(b"")
        except StopIteration:
            self.done = True
            return
        self.cursor = region.offset
        self.end = region.offset + min(region.length, MOST_BYTES)

    _begun = False


class Scan:
    """Feeds parsers."""

    def __init__(self) -> None:
        self._readings: list[_Reading] = []
        self._live = 0
        self._at_end: list[AtEnd] = []
        self._now = 0
        self._next = 0
        self._tail = b""
        self.size = 0
        """Bytes that have passed."""

    def start(self, parser: Parser) -> bool:
        """Let another parser see what follows from here on; whether there was room for it."""
        if self._live >= MOST_PARSERS:
            parser.close()
            return False
        reading = _Reading(parser, self._now)
        reading.proceed(at_end=False)
        if reading.done:
            return True
        self._live += 1
        self._readings.append(reading)
        self._next = min(self._next, reading.wants)
        return True

    def at_end(self, call: AtEnd) -> None:
        """Call this when all bytes have passed."""
        self._at_end.append(call)

    def feed(self, block: bytes | memoryview) -> None:
        """The next bytes. Nothing holds on to them afterwards."""
        start, self.size = self.size, self.size + len(block)
        last = bytes(block[-TAIL:])
        self._tail = last if len(last) == TAIL else (self._tail + last)[-TAIL:]
        if self.size <= self._next or not self._readings:
            return
        for reading in self._readings:  # grows while parsers start others
            while not reading.done and reading.wants < self.size:
                self._collect(reading, block, start)
        self._forget_finished()

    def finish(self) -> None:
        """There are no more bytes."""
        for reading in self._readings:
            if not reading.done:
                self._now = self.size
                reading.end = self.size
                reading.proceed(at_end=True)
        self._readings.clear()
        for call in self._at_end:
            call(self.size, self._tail)

    def _collect(self, reading: _Reading, block: bytes | memoryview, start: int) -> None:
        reading.got += block[reading.wants - start : reading.end - start]
        if reading.wants == reading.end:
            self._now = reading.end
            reading.proceed(at_end=False)
            self._live -= reading.done

    def _forget_finished(self) -> None:
        self._readings = [each for each in self._readings if not each.done]
        self._next = min((each.wants for each in self._readings), default=self.size)


def take(head: bytes, offset: int, length: int, base: int = 0) -> Generator[Region, bytes, bytes]:
    """Bytes from the head, which begins at `base` of the image, and from what follows it."""
    if offset + length <= len(head):
        return head[offset : offset + length]
    if offset >= len(head):
        return (yield Region(base + offset, length))
    rest = yield Region(base + len(head), offset + length - len(head))
    return head[offset:] + rest


def text(data: bytes, encoding: str = "utf-8", limit: int = 255) -> str:
    """A label as people can read it: up to its NUL, without control characters and padding."""
    found = data.decode(encoding, "replace").split("\0", 1)[0]
    return "".join(each for each in found if each.isprintable()).strip()[:limit]

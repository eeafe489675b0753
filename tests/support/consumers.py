"""Many consumers, some of which crash, over one topic; and what must never happen meanwhile.

Each message says its group and its number there. A `Ledger` knows what was posted, who holds what
until when, and what was removed; it notes what breaks a promise instead of stopping.
"""

import http.client
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import urlsplit

HEADERS = {"Client-ID": str(uuid.uuid4()), "X-Project-ID": "demo"}
BATCH = 20
LIMIT = 10
GRACE = 60
_GOLDEN = 0.6180339887
Name: TypeAlias = tuple[int, int]
"""A message: its group and its number there."""


@dataclass(frozen=True)
class Plan:
    """What to do."""

    messages: int
    ordering: str = "none"
    groups: int = 1
    consumers: int = 32
    crash: float = 0.04
    """Share of claims whose consumer dies with them: before, or halfway through, its removals."""
    release: float = 0.02
    """Share of claims that are given back."""
    ttl: int = 2
    """Seconds a claim lasts."""
    patience: float = 120.0
    """Seconds without a message after which consumers give up."""


@dataclass
class Ledger:
    """What happened."""

    posted: set[Name] = field(default_factory=set)
    removed: set[Name] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    claims: Counter[str] = field(default_factory=Counter)
    """How many claims ended how."""
    _held: dict[Name, float] = field(default_factory=dict)
    """Until when, at least, a message is its holder's."""
    _removed_at: dict[Name, float] = field(default_factory=dict)
    _next: Counter[int] = field(default_factory=Counter)
    """By group, the number that may come next; those before it are removed, or may be soon."""
    _fates: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        """Whether everything that was posted was removed."""
        return len(self.removed) == len(self.posted)

    def fate(self) -> float:
        """What becomes of a claim, between 0 and 1: spread so that no fate is missed for long."""
        return next(self._fates) * _GOLDEN % 1

    def posting(self, some: Iterable[Name]) -> None:
        """These are about to be posted."""
        with self._lock:
            self.posted |= set(some)

    def claimed(self, found: Sequence[Name], *, asked: float, until: float, ordered: bool) -> None:
        """A claim that was asked for at `asked` was answered just now.

        It lasts at least `until`; both are of `time.monotonic`.
        """
        now = time.monotonic()
        with self._lock:
            for message in found:
                if self._removed_at.get(message, asked) < asked:
                    self.broken.append(f"{message} was handed out after it was removed")
                elif self._held.get(message, 0.0) > now:
                    self.broken.append(f"{message} is in two live claims")
                self._held[message] = until
            if ordered:
                self._check_order(found)

    def _check_order(self, found: Sequence[Name]) -> None:
        expected: dict[int, int] = {}
        for group, number in found:
            if group in expected:
                fits = number == expected[group]
            else:
                fits = number <= self._next[group]
            if not fits:
                self.broken.append(f"{(group, number)} came before its turn")
            expected[group] = number + 1

    def removing(self, some: Iterable[Name]) -> None:
        """Somebody is about to ask for their removal."""
        with self._lock:
            for group, number in some:
                self._next[group] = max(self._next[group], number + 1)

    def was_removed(self, some: Iterable[Name]) -> None:
        """Their removal was answered."""
        now = time.monotonic()
        with self._lock:
            for message in some:
                self._removed_at.setdefault(message, now)
                self.removed.add(message)

    def returning(self, some: Iterable[Name]) -> None:
        """Somebody is about to give them back."""
        with self._lock:
            for message in some:
                self._held.pop(message, None)


class Client:
    """One connection to one of the servers."""

    def __init__(self, url: str, topic: str) -> None:
        self._line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._path = f"/v2/topics/{topic}"

    def close(self) -> None:
        """End the connection; the next request opens another."""
        self._line.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's document; None where there is none."""
        text = None if body is None else json.dumps(body)
        headers = HEADERS | ({"Content-Type": "application/json"} if text else {})
        self._line.request(method, f"{self._path}{path}", text, headers)
        answer = self._line.getresponse()
        said = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {said!r}")
        return json.loads(said) if said else None


def run(urls: Sequence[str], plan: Plan) -> Ledger:
    """Post and consume over these servers of one store, until nothing is left."""
    topic = f"consumers-{uuid.uuid4().hex[:12]}"
    ledger = Ledger()
    over = threading.Event()
    with closing(Client(urls[0], topic)) as client:
        client.ask("PUT", "", {"_ordering": plan.ordering})
        with ThreadPoolExecutor(plan.consumers + len(urls)) as pool:
            posting = [
                pool.submit(_post, (url, topic), plan, ledger, range(n, plan.groups, len(urls)))
                for n, url in enumerate(urls)
            ]
            consuming = [
                pool.submit(_consume, (urls[n % len(urls)], topic), plan, ledger, over)
                for n in range(plan.consumers)
            ]
            for each in posting:
                each.result()
            over.set()
            for each in consuming:
                each.result()
        left = client.ask("GET", "/stats")["messages"]
    if left["total"]:
        ledger.broken.append(f"messages are left: {left}")
    if not ledger.done:
        ledger.broken.append(f"{len(ledger.posted) - len(ledger.removed)} messages are lost")
    return ledger


def _post(where: tuple[str, str], plan: Plan, ledger: Ledger, groups: Sequence[int]) -> None:
    """Post the messages of some groups, in turn: only one poster knows a group's order."""
    names = [(group, number) for number in range(plan.messages // plan.groups) for group in groups]
    with closing(Client(*where)) as client:
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            ledger.posting(some)
            drafts: list[dict[str, Any]] = [{"body": name, "ttl": 7200} for name in some]
            if plan.ordering == "fifo-group":
                for draft, (group, _number) in zip(drafts, some, strict=True):
                    draft["group"] = f"g{group}"
            client.ask("POST", "/messages", {"messages": drafts})


def _consume(where: tuple[str, str], plan: Plan, ledger: Ledger, over: threading.Event) -> None:
    """Claim and remove until everything is gone."""
    quiet_since = time.monotonic()
    with closing(Client(*where)) as client:
        while not (over.is_set() and ledger.done):
            asked = time.monotonic()
            answer = client.ask("POST", f"/claims?limit={LIMIT}", {"ttl": plan.ttl, "grace": GRACE})
            if answer is not None:
                quiet_since = time.monotonic()
                _work(client, plan, ledger, answer["messages"], asked, ledger.fate())
            elif time.monotonic() - quiet_since > plan.patience:
                return
            else:
                time.sleep(0.02)


def _work(
    client: Client,
    plan: Plan,
    ledger: Ledger,
    messages: Sequence[Any],
    asked: float,
    fate: float,
) -> None:
    """Do with a claim what its consumer's fate (between 0 and 1) is."""
    found = _names(messages)
    until = asked + plan.ttl
    ledger.claimed(found, asked=asked, until=until, ordered=plan.ordering != "none")
    if fate < plan.crash:
        half = len(messages) // 2 if fate < plan.crash / 2 else 0
        _remove(client, ledger, messages[:half])
        client.close()
        ledger.claims["crashed"] += 1
    elif fate < plan.crash + plan.release:
        claim = messages[0]["href"].partition("claim_id=")[2]
        ledger.returning(found)
        client.ask("DELETE", f"/claims/{claim}")
        ledger.claims["released"] += 1
    else:
        _remove(client, ledger, messages)
        ledger.claims["done"] += 1


def _remove(client: Client, ledger: Ledger, messages: Sequence[Any]) -> None:
    if messages:
        names = _names(messages)
        ledger.removing(names)
        client.ask("DELETE", f"/messages?ids={','.join(each['id'] for each in messages)}")
        ledger.was_removed(names)


def _names(messages: Sequence[Any]) -> list[Name]:
    return [(each["body"][0], each["body"][1]) for each in messages]

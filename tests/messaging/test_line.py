"""Work done together: who waits, who leads, and who is told what."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kilo_messaging.storage.line import Line

KILLED_IN_LINE = """
from gevent import monkey
monkey.patch_all()
import threading
import gevent
from kilo_messaging.storage.line import Line

begun, go_on = threading.Event(), threading.Event()

def work(items):
    begun.set()
    go_on.wait()
    return items

line = Line(work, most=1)
first = gevent.spawn(line.do, 1)
begun.wait()
second, third = gevent.spawn(line.do, 2), gevent.spawn(line.do, 3)
gevent.sleep(0)
second.kill()
go_on.set()
print(first.get(timeout=10), third.get(timeout=10))
"""


class Shop:
    """Does nothing until it is opened, and notes what it did together."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.open = threading.Event()
        self.busy = threading.Event()

    def work(self, items: Sequence[int]) -> list[int | Exception]:
        self.busy.set()
        assert self.open.wait(10)
        self.groups.append(list(items))
        if 13 in items:
            raise RuntimeError("nobody is served")
        return [ValueError(str(item)) if item < 0 else item * 2 for item in items]


def served(line: Line[int, int], shop: Shop, items: Sequence[int]) -> list[int | Exception]:
    """The outcomes of these, the first of which was at work when the others came."""

    def ask(item: int) -> int | Exception:
        try:
            return line.do(item)
        except Exception as fault:  # noqa: BLE001 - told
            return fault

    with ThreadPoolExecutor(len(items)) as pool:
        first = pool.submit(ask, items[0])
        assert shop.busy.wait(10)
        others = [pool.submit(ask, item) for item in items[1:]]
        pause = threading.Event()
        while len(line._waiting) < len(others):
            pause.wait(0.001)
        shop.open.set()
        return [each.result(10) for each in (first, *others)]


def test_what_waits_is_done_together() -> None:
    shop = Shop()
    assert served(Line(shop.work, most=10), shop, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert [len(group) for group in shop.groups] == [1, 3]


def test_no_more_than_most_is_done_together() -> None:
    shop = Shop()
    assert served(Line(shop.work, most=2), shop, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert [len(group) for group in shop.groups] == [1, 2, 1]


def test_what_weighs_more_than_most_is_done_alone() -> None:
    shop = Shop()
    line = Line(shop.work, most=5, weigh=lambda item: item)
    assert served(line, shop, [9, 9, 9]) == [18, 18, 18]
    assert shop.groups == [[9], [9], [9]]


def test_an_error_is_told_to_whom_it_concerns() -> None:
    shop = Shop()
    one, refused, three = served(Line(shop.work, most=10), shop, [1, -2, 3])
    assert (one, three) == (2, 6)
    assert isinstance(refused, ValueError)


def test_an_error_of_the_work_is_everybodys() -> None:
    shop = Shop()
    first, second, third = served(Line(shop.work, most=10), shop, [1, 13, 3])
    assert first == 2
    assert isinstance(second, RuntimeError)
    assert isinstance(third, RuntimeError)
    with pytest.raises(ValueError, match="-1"):
        Line(shop.work, most=10).do(-1)


def test_who_is_killed_in_line_holds_nobody_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_LINE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["1", "3"], done.stderr

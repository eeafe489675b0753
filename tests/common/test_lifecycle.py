"""Groups of services: the order they start and stop in, also when one of them fails."""

import pytest

from kilo_common.lifecycle import ServiceGroup


class Recorded:
    def __init__(self, name: str, record: list[str], *, fails: str = "") -> None:
        self._name = name
        self._record = record
        self._fails = fails

    def start(self) -> None:
        if self._fails == "start":
            raise RuntimeError(self._name)
        self._record.append(f"start {self._name}")

    def stop(self, timeout: float) -> None:
        self._record.append(f"stop {self._name}")
        if self._fails == "stop":
            raise RuntimeError(self._name)


def test_services_stop_in_the_reverse_order() -> None:
    record: list[str] = []
    group = ServiceGroup([Recorded("a", record), Recorded("b", record)])
    group.start()
    group.stop(1)
    group.stop(1)
    assert record == ["start a", "start b", "stop b", "stop a"]


def test_a_failed_start_stops_what_ran_and_raises() -> None:
    record: list[str] = []
    group = ServiceGroup([Recorded("a", record), Recorded("b", record, fails="start")])
    with pytest.raises(RuntimeError, match="b"):
        group.start()
    assert record == ["start a", "stop a"]


def test_a_failed_stop_does_not_keep_the_others_running() -> None:
    record: list[str] = []
    group = ServiceGroup([Recorded("a", record), Recorded("b", record, fails="stop")])
    group.start()
    group.stop(1)
    assert record[-1] == "stop a"

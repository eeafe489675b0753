"""A call that wakes whoever delivers, made before anybody knows who that is."""

from collections.abc import Callable


class WakeUp:
    """Rung when there is something to deliver."""

    def __init__(self) -> None:
        self._woken: list[Callable[[], None]] = []

    def to(self, wake: Callable[[], None]) -> None:
        """Call `wake` at each ring; it returns at once."""
        self._woken.append(wake)

    def ring(self) -> None:
        """There may be something to deliver."""
        for wake in self._woken:
            wake()

"""What a person, or a script, may say to a fault proxy: a word a line, some with a number."""

from collections.abc import Callable
from dataclasses import dataclass

from kilo_common.errors import InvalidInput
from kilo_common.testing.fault_proxy import FaultProxy


class CommandUnreadable(InvalidInput):
    """There is no such command, or its number is none."""

    code = "testing.fault_command_unreadable"


@dataclass(frozen=True)
class Command:
    """One word."""

    does: str
    """What it does, for the list of commands."""
    run: Callable[[FaultProxy, float], None]
    takes: str = ""
    """What its number is; empty if it takes none."""


def _delay(proxy: FaultProxy, seconds: float) -> None:
    proxy.delay(seconds)


def _throttle(proxy: FaultProxy, rate: float) -> None:
    proxy.throttle(rate or None)


COMMANDS = {
    "delay": Command("pass everything on so much later; 0 ends it", _delay, "SECONDS"),
    "throttle": Command("pass no more than this; 0 ends it", _throttle, "BYTES_PER_SECOND"),
    "freeze": Command("pass nothing on and keep connections open", lambda proxy, _: proxy.freeze()),
    "thaw": Command("end freeze, and pass on what was held back", lambda proxy, _: proxy.thaw()),
    "cut": Command("reset every open connection", lambda proxy, _: proxy.cut()),
    "half-close": Command(
        "tell clients that the server sends no more", lambda proxy, _: proxy.half_close()
    ),
    "refuse": Command("reset new connections", lambda proxy, _: proxy.refuse()),
    "accept": Command("end refuse", lambda proxy, _: proxy.refuse(False)),
}


def obey(proxy: FaultProxy, line: str) -> None:
    """Do what one line says; an empty one says nothing.

    Raises:
        CommandUnreadable: with what is wrong.
    """
    word, _, rest = line.strip().partition(" ")
    if not word:
        return
    command = COMMANDS.get(word)
    if command is None:
        raise CommandUnreadable(f"There is no {word!r}; there are: {', '.join(COMMANDS)}")
    command.run(proxy, _number(word, command, rest.strip()))


def usage() -> str:
    """The commands, a line each."""
    heads = {f"{word} {each.takes}".strip(): each.does for word, each in COMMANDS.items()}
    width = max(len(head) for head in heads)
    return "\n".join(f"{head:{width}}  {does}" for head, does in heads.items())


def _number(word: str, command: Command, text: str) -> float:
    if not command.takes:
        if text:
            raise CommandUnreadable(f"{word} stands alone: {text!r} is too much")
        return 0.0
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise CommandUnreadable(f"{word} takes {command.takes}, and {text!r} is no such number")
    return number

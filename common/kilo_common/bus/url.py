"""Bus URLs: `rabbit://user:password@host:5672,user:password@other:5672/vhost?option=value`."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from kilo_common.errors import ConfigInvalid


class BusUrlInvalid(ConfigInvalid):
    """The URL of the bus cannot be read."""

    code = "bus.url_invalid"


@dataclass(frozen=True)
class Broker:
    """One host of a cluster, and who we are there."""

    host: str
    port: int
    user: str
    password: str

    @property
    def authority(self) -> str:
        """`user:password@host:port` with escapes, for a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@{host}:{self.port}"


@dataclass(frozen=True)
class BusUrl:
    """The parts of a bus URL."""

    scheme: str
    brokers: tuple[Broker, ...]
    virtual_host: str
    options: Mapping[str, str]

    def flag(self, name: str, default: bool) -> bool:
        """A yes-or-no option.

        Raises:
            BusUrlInvalid: it is neither.
        """
        text = self.options.get(name, "true" if default else "false").lower()
        if text not in ("true", "false"):
            raise BusUrlInvalid(f"bus.url: {name} must be true or false, not {text!r}", option=name)
        return text == "true"

    def number(self, name: str, default: int) -> int:
        """An option that is a whole number above zero.

        Raises:
            BusUrlInvalid: it is not.
        """
        text = self.options.get(name, str(default))
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 1_000_000):
            raise BusUrlInvalid(
                f"bus.url: {name} must be a whole number above zero, not {text!r}", option=name
            )
        return int(text)


def parse(text: str, *, known: frozenset[str], default_port: int = 5672) -> BusUrl:
    """The parts of `text`; hosts are separated by commas, user and password may hold %-escapes.

    Raises:
        BusUrlInvalid: with what is wrong; the password is never shown.
    """
    parts = urlsplit(text)
    brokers = tuple(_broker(each, default_port) for each in parts.netloc.split(","))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - known)
    if unknown:
        raise BusUrlInvalid(
            f"bus.url: there is no option {unknown[0]!r}; options are: {', '.join(sorted(known))}",
            option=unknown[0],
        )
    return BusUrl(parts.scheme, brokers, unquote(parts.path.removeprefix("/")) or "/", options)


def _broker(text: str, default_port: int) -> Broker:
    credentials, _, address = text.rpartition("@")
    user, _, password = credentials.partition(":")
    host, port = address, ""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in address:
        host, _, port = address.rpartition(":")
    if port and not port.isdigit():
        raise BusUrlInvalid(f"bus.url: {port!r} is not a port", host=host)
    return Broker(
        host=host or "127.0.0.1",
        port=int(port or default_port),
        user=unquote(user) or "guest",
        password=unquote(password) if credentials else "guest",
    )

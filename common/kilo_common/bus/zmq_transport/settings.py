"""What a `zmq://HOST:PORT/?option=value` URL says."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kilo_common.bus.url import BusUrl, BusUrlInvalid, parse

_OPTIONS = frozenset(
    {
        "matchmaker",
        "matchmaker_url",
        "peers",
        "peers_file",
        "advertise",
        "allow_remote",
        "heartbeat",
        "lease",
        "retention",
        "max_messages",
        "max_megabytes",
    }
)
_ENDPOINT = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
MISSED_HEARTBEATS = 3.5


@dataclass(frozen=True)
class ZmqSettings:
    """How a node behaves."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 lets the system choose: other nodes learn it from the matchmaker."""
    advertise: str = ""
    """The host that others reach this node by; needed when it listens on all addresses."""
    allow_remote: bool = False
    """Talk to other machines. Nothing on this wire is authenticated or encrypted."""
    matchmaker: str = "memory"
    matchmaker_options: Mapping[str, str] | None = None
    heartbeat: float = 1.0
    lease: float = 15.0
    """Seconds the matchmaker believes in a node that has stopped renewing."""
    retention: float = 3600.0
    """Seconds messages are kept for a group of which no consumer is left."""
    max_messages: int = 10_000
    max_bytes: int = 64 << 20

    @property
    def dead_after(self) -> float:
        """Seconds of silence after which a peer counts as dead."""
        return self.heartbeat * MISSED_HEARTBEATS

    @property
    def greeting(self) -> float:
        """Seconds a peer has to answer the first greeting."""
        return min(1.0, self.dead_after)

    def may_talk_to(self, endpoint: str) -> bool:
        """Whether `endpoint` is one, and on a machine that this node is allowed to talk to."""
        found = _ENDPOINT.fullmatch(endpoint)
        if found is None or not is_endpoint(endpoint):
            return False
        return self.allow_remote or is_loopback(found[1].strip("[]"))


def is_endpoint(text: str) -> bool:
    """Whether `text` is `tcp://HOST:PORT`."""
    found = _ENDPOINT.fullmatch(text)
    return found is not None and 0 < int(found[2]) < 65536


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def endpoint_of(host: str, port: int | str) -> str:
    """The ZeroMQ endpoint of a host and port."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def from_url(text: str) -> ZmqSettings:
    """The settings in a URL.

    Raises:
        BusUrlInvalid: with what is wrong.
    """
    url = parse(text, known=_OPTIONS, default_port=0)
    if len(url.brokers) != 1:
        raise BusUrlInvalid("bus.url: zmq:// takes one address, the one that this node listens on")
    here = url.brokers[0]
    allow_remote = url.flag("allow_remote", False)
    advertise = url.options.get("advertise", "")
    for host in filter(None, (here.host, advertise)):
        if not allow_remote and not is_loopback(host):
            raise BusUrlInvalid(
                f"bus.url: {host} is not loopback, and zmq:// knows neither passwords nor "
                "encryption: whoever reaches it may use the bus; add allow_remote=true if the "
                "network is yours alone",
                host=host,
            )
    if here.host in ("0.0.0.0", "::", "*") and not advertise:  # noqa: S104 - refused here
        raise BusUrlInvalid(f"bus.url: to listen on {here.host}, say advertise=HOST as well")
    return ZmqSettings(
        host=here.host,
        port=here.port,
        advertise=advertise,
        allow_remote=allow_remote,
        matchmaker=url.options.get("matchmaker", "memory"),
        matchmaker_options=url.options,
        heartbeat=_number(url, "heartbeat", 1.0, 0.05, 60),
        lease=_number(url, "lease", 15.0, 0.5, 3600),
        retention=_number(url, "retention", 3600.0, 1, 30 * 86400),
        max_messages=int(_number(url, "max_messages", 10_000, 1, 10_000_000)),
        max_bytes=int(_number(url, "max_megabytes", 64, 1, 100_000) * (1 << 20)),
    )


def _number(url: BusUrl, name: str, default: float, least: float, most: float) -> float:
    text = url.options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise BusUrlInvalid(
            f"bus.url: {name} must be a number from {least:g} to {most:g}, not {text!r}",
            option=name,
        )
    return value

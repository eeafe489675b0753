"""Opens a transport by its URL: the scheme names the driver."""

from urllib.parse import urlsplit

from kilo_common.bus.transport import Transport
from kilo_common.errors import ConfigInvalid
from kilo_common.registry import Driver, DriverTable

_KOMBU = Driver("kilo_common.bus.kombu_transport.transport:KombuTransport")
_REDIS = Driver(
    "kilo_common.bus.kombu_transport.virtual.transport:VirtualTransport", "kilostack[redis]"
)
_EXPERIMENTAL = Driver("kilo_common.bus.kombu_transport.virtual.transport:VirtualTransport")
TRANSPORTS = DriverTable(
    "bus transport",
    {
        "memory": Driver("kilo_common.bus.memory:MemoryTransport"),
        "amqp": _KOMBU,
        "qpid": _KOMBU,
        "redis": _REDIS,
        "rediss": _REDIS,
        "filesystem": _EXPERIMENTAL,
        "sqlalchemy+sqlite": _EXPERIMENTAL,
        "sqlalchemy+postgresql": _EXPERIMENTAL,
        "rabbit": _KOMBU,
        "zmq": Driver(
            "kilo_common.bus.zmq_transport.transport:ZmqTransport", needs="kilostack[zmq]"
        ),
    },
    group="kilostack.bus",
)


def open_transport(url: str) -> Transport:
    """The transport for `url`, not yet started.

    Raises:
        ConfigInvalid: it is not a URL, or no driver has its scheme.
    """
    scheme = urlsplit(url).scheme
    if not scheme:
        raise ConfigInvalid(
            f"bus.url: {url!r} is not a URL such as memory:// or rabbit://guest:guest@127.0.0.1",
            key="bus.url",
        )
    transport: Transport = TRANSPORTS.load(scheme)(url)
    return transport

"""Decides which URLs and addresses are allowed. Pure: it neither resolves nor connects.

What a name stands for is not known here; `check_address` is asked again for every address that the
resolver finds, and the connection then goes to that very address.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.errors import FetchRefused
from kilo_common.fetch.policy import FetchPolicy

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
GREATEST_URL = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NEVER = tuple(
    ip_network(each)
    for each in (
        # The registries of special-purpose addresses (RFC 6890 and its successors), spelled out
        # since what Python calls global has changed with its versions.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # A public address that is a cloud's own host to every machine in it.
        "168.63.129.16/32",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip


# All that has been given out for general use; other forms lead to IPv4 or stay within a site.
_UNICAST = IPv6Network("2000::/3")


class Target(Struct, frozen=True):
    """A URL, taken apart, that may be asked for if its addresses are allowed."""

    scheme: str
    host: str
    """A name in lower case, or an address without brackets."""
    port: int
    path: str
    """With the query; it begins with a slash."""
    address: Address | None
    """The address, where the URL has one in place of a name. It has been checked."""

    @property
    def host_header(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs of one server have in common."""
        return (self.scheme, self.host, self.port)


class Guard:
    """A policy, ready to be asked."""

    def __init__(self, policy: FetchPolicy) -> None:
        """Take the policy.

        Raises:
            ConfigInvalid: a network or a scheme in it is none.
        """
        unknown = set(policy.schemes) - DEFAULT_PORTS.keys()
        if unknown:
            raise ConfigInvalid(f"schemes: {', '.join(sorted(unknown))}: only http and https")
        self._policy = policy
        self._allowed = _networks("allowed_networks", policy.allowed_networks)
        self._denied = _networks("denied_networks", policy.denied_networks)

    def check_url(self, url: object) -> Target:
        """The URL's parts, if it may be asked for as far as can be told from its text.

        Raises:
            FetchRefused: it may not; the message says why.
        """
        parts = _split(url)
        policy = self._policy
        if parts.scheme not in policy.schemes:
            raise FetchRefused(f"URLs must begin with one of: {', '.join(policy.schemes)}")
        if "@" in parts.netloc:
            raise FetchRefused("A URL must not hold a user's name or password")
        host, address = _host(parts)
        port = _port(parts)
        if policy.ports and port not in policy.ports:
            raise FetchRefused(
                f"Port {port} is not allowed; allowed: {', '.join(map(str, policy.ports))}",
                port=port,
            )
        self._check_name(host)
        if address is not None:
            self.check_address(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port, path, address)

    def check_address(self, address: Address) -> None:
        """Return if a connection to the address is allowed.

        Raises:
            FetchRefused: it is not: of this machine, private, link-local, reserved, or denied.
        """
        # ::ffff:127.0.0.1 is 127.0.0.1 to every system.
        plain = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
        if not self._is_allowed(plain):
            raise FetchRefused(f"The address {address} is not one that may be asked")

    def _is_allowed(self, address: Address) -> bool:
        if any(address in network for network in self._denied):
            return False
        if any(address in network for network in self._allowed):
            return True
        if address.is_loopback:
            return self._policy.allow_loopback
        if isinstance(address, IPv6Address) and address not in _UNICAST:
            return False
        return address.is_global and not any(address in network for network in _NEVER)

    def _check_name(self, host: str) -> None:
        policy = self._policy
        if any(_covers(each, host) for each in policy.denied_hosts) or (
            policy.allowed_hosts and not any(_covers(each, host) for each in policy.allowed_hosts)
        ):
            raise FetchRefused(f"The host {host[:255]} is not one that may be asked")


def _split(url: object) -> SplitResult:
    if not isinstance(url, str) or not url or len(url) > GREATEST_URL:
        raise FetchRefused(f"A URL is a text of 1 to {GREATEST_URL} characters")
    # Backslashes, blanks and control characters are read differently by different parsers.
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise FetchRefused(
            "A URL must be of visible ASCII characters without a backslash; encode others as %XX"
        )
    try:
        parts = urlsplit(url)
    except ValueError as fault:
        raise FetchRefused(f"This is not a URL: {fault}") from None
    if not parts.netloc:
        raise FetchRefused("A URL must name a scheme and a host, such as https://example.org/file")
    return parts


def _host(parts: SplitResult) -> tuple[str, Address | None]:
    text = parts.netloc
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or "%" in inside:
            raise FetchRefused("The URL's host is not an IPv6 address in brackets")
        try:
            address: Address = IPv6Address(inside)
        except ValueError:
            raise FetchRefused("The URL's host is not an IPv6 address in brackets") from None
        return str(address), address
    host = text.partition(":")[0].lower()
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            address = IPv4Address(host)
        except ValueError:
            raise FetchRefused(
                "The URL's host is an address in a form that is not served: write four decimal "
                "numbers"
            ) from None
        return str(address), address
    if len(host) > 253 or not all(map(_LABEL.fullmatch, host.split("."))):
        raise FetchRefused("The URL's host is not a name: letters, digits, - and dots between them")
    return host, None


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise FetchRefused("The URL's port is not a number from 1 to 65535") from None
    return DEFAULT_PORTS[parts.scheme] if port is None else port


def _covers(pattern: str, host: str) -> bool:
    pattern = pattern.lower()
    return host.endswith(pattern) if pattern.startswith(".") else host == pattern


def _networks(key: str, texts: Sequence[str]) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as fault:
        raise ConfigInvalid(f"{key}: {fault}", key=key) from None


def read_address(text: str) -> Address:
    """An address as the resolver writes it; a zone is no part of it."""
    return ip_address(text.partition("%")[0])

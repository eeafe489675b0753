"""Who is the caller? One strategy per process answers, for HTTP requests and WebSocket messages.

A strategy sees header names in lower case. It never trusts identity headers unless it is `none`.
"""

import ipaddress
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Protocol

import msgspec

from kilo_common.clock import Clock
from kilo_common.errors import ConfigInvalid, InvalidInput
from kilo_common.registry import Driver, DriverTable
from kilo_common.settings import AuthSettings

PROJECT_LENGTH = 256


class Identity(msgspec.Struct, frozen=True):
    """What a strategy found out about the caller."""

    project_id: str
    """Empty only where a strategy was asked to accept callers without a project."""
    user_id: str
    roles: tuple[str, ...]


class AuthStrategy(Protocol):
    """Turns the headers of a request into an identity."""

    challenge: str
    """The value of `WWW-Authenticate` on a 401; empty where there is none to offer."""

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """The caller's identity.

        Raises:
            Unauthenticated: the credentials are missing, wrong or expired.
            InvalidInput: an identity header is malformed.
        """
        ...


class NoAuth:
    """Lets everybody in as whoever they say they are. For one machine and one person."""

    challenge = ""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings

    @classmethod
    def open(cls, settings: AuthSettings, executor: Executor, clock: Clock) -> "NoAuth":
        """The strategy as the configuration has it."""
        del executor, clock
        return cls(settings)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        project = headers.get("x-project-id", "").strip() or self._settings.default_project
        if len(project) > PROJECT_LENGTH:
            raise InvalidInput(
                f"X-Project-Id is longer than {PROJECT_LENGTH} characters", limit=PROJECT_LENGTH
            )
        roles = _roles(headers.get("x-roles", "")) or self._settings.default_roles
        return Identity(project, headers.get("x-user-id") or "anonymous", roles)


def _roles(text: str) -> tuple[str, ...]:
    named = (role.strip().lower() for role in text.split(",")) if text else ()
    return tuple(role for role in named if role)


STRATEGIES = DriverTable(
    "auth strategy",
    {
        "none": Driver("kilo_common.http.auth:NoAuth"),
        "http_basic": Driver("kilo_common.http.basic_auth:BasicAuth"),
        "dev": Driver("kilo_common.identity.strategy:DevAuth"),
        "keystone": Driver("kilo_common.identity.keystone:KeystoneAuth", "kilostack[keystone]"),
    },
)
"""Each has a class method `open(settings, executor, clock)` that raises ConfigInvalid."""


def open_strategy(settings: AuthSettings, executor: Executor, clock: Clock) -> AuthStrategy:
    """The strategy the configuration names.

    Raises:
        ConfigInvalid: what the strategy rests on is missing or wrong.
    """
    chosen = STRATEGIES.load(settings.strategy)
    strategy: AuthStrategy = chosen.open(settings, executor, clock)
    return strategy


OPEN_TO_ALL = {
    "none": "anybody could read and delete everything",
    "dev": "its passwords stand in the documentation",
}
"""Strategies that protect nothing from who reaches the port, and why."""


def check_bind(settings: AuthSettings, host: str) -> None:
    """Refuse to offer a service that everybody can use to other machines.

    Raises:
        ConfigInvalid: `none` or `dev` on an address that is not loopback, and not forced.
    """
    reason = OPEN_TO_ALL.get(settings.strategy)
    if reason is None or settings.allow_insecure_bind or is_loopback(host):
        return
    raise ConfigInvalid(
        f"auth.strategy is {settings.strategy!r}, and {host} can be reached by other machines: "
        f"{reason}. Listen on 127.0.0.1, choose another strategy, or set "
        "auth.allow_insecure_bind = true if you mean it.",
        key="auth.strategy",
        host=host,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost counts as no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

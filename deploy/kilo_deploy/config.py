"""The configuration of a whole stack: one file, a section for each part."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from kilo_catalog.config import CatalogSettings
from kilo_common.config import Section, load
from kilo_common.errors import ConfigInvalid
from kilo_common.settings import (
    AuthSettings,
    BusSettings,
    DevHttpSettings,
    HttpSettings,
    LogSettings,
)
from kilo_messaging.config import MessagingSettings

S = TypeVar("S", bound=msgspec.Struct)
STATE_DIR = "{state_dir}"


class DashboardSettings(Section, frozen=True):
    """The page that shows what a stack does."""

    enabled: Annotated[bool, Meta(description="Serve it, in `kilostack up`.")] = True
    http: Annotated[HttpSettings, Meta(description="The dashboard's listener.")] = HttpSettings(
        port=8090
    )


class StackSettings(Section, frozen=True):
    """Kilostack: a catalog and a messaging service on one bus."""

    state_dir: Annotated[
        str,
        Meta(
            description="The folder for databases, images and run-time files. Empty: "
            "$XDG_STATE_HOME/kilostack, or ~/.local/state/kilostack."
        ),
    ] = ""
    shutdown_timeout: Annotated[
        float, Meta(description="Seconds that requests in hand get to finish at a stop.", ge=0)
    ] = 10.0
    log: LogSettings = LogSettings()
    bus: BusSettings = BusSettings()
    auth: AuthSettings = AuthSettings()
    catalog: CatalogSettings = CatalogSettings()
    messaging: MessagingSettings = MessagingSettings()
    dashboard: DashboardSettings = DashboardSettings()


def load_stack(
    file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> StackSettings:
    """The settings of a stack, with the state folder filled in wherever it is named.

    Raises:
        ConfigInvalid: with file, key and what is allowed.
    """
    settings = load(StackSettings, file=file, environ=environ, overrides=overrides)
    state_dir = settings.state_dir or str(default_state_dir(environ))
    absolute = str(Path(state_dir).expanduser().absolute())
    settings = msgspec.structs.replace(settings, state_dir=absolute)
    return _fill_in(settings, absolute)


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Where state goes when nobody says where (the XDG base directory specification)."""
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "kilostack"


def shift_ports(settings: StackSettings, offset: int) -> StackSettings:
    """The same stack with every port moved by `offset`; a port of 0 (off, or any) stays.

    Raises:
        ConfigInvalid: a port would leave the range of ports.
    """
    catalog_http = msgspec.structs.replace(
        settings.catalog.http, port=_shift(settings.catalog.http.port, offset)
    )
    messaging_http = msgspec.structs.replace(
        settings.messaging.http, port=_shift(settings.messaging.http.port, offset)
    )
    identity_http = msgspec.structs.replace(
        settings.auth.dev.http, port=_shift(settings.auth.dev.http.port, offset)
    )
    dashboard_http = msgspec.structs.replace(
        settings.dashboard.http, port=_shift(settings.dashboard.http.port, offset)
    )
    return msgspec.structs.replace(
        settings,
        dashboard=msgspec.structs.replace(settings.dashboard, http=dashboard_http),
        auth=with_identity_listener(settings.auth, identity_http),
        catalog=msgspec.structs.replace(settings.catalog, http=catalog_http),
        messaging=msgspec.structs.replace(
            settings.messaging,
            http=messaging_http,
            websocket_port=_shift(settings.messaging.websocket_port, offset),
        ),
    )


def for_a_while(settings: StackSettings) -> StackSettings:
    """The same stack for data that may be lost, with a clock that tests may move."""
    messaging = msgspec.structs.replace(settings.messaging, durable=False, test_clock=True)
    return msgspec.structs.replace(settings, messaging=messaging)


def with_identity_listener(auth: AuthSettings, http: DevHttpSettings) -> AuthSettings:
    """The same settings with the built-in identity service on another listener."""
    return msgspec.structs.replace(auth, dev=msgspec.structs.replace(auth.dev, http=http))


def prepare_state_dir(path: Path) -> None:
    """Make the state folder, readable by its owner only, and see that it can be written.

    Raises:
        ConfigInvalid: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = path / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise ConfigInvalid(
            f"The state folder {path} cannot be written ({fault.strerror}): choose another one "
            "with --state-dir, or try without any state: --ephemeral.",
            key="state_dir",
        ) from None


def _shift(port: int, offset: int) -> int:
    if port == 0:
        return 0
    if not 0 < port + offset < 65536:
        raise ConfigInvalid(f"Port {port} + {offset} is not a port; choose a smaller --port-offset")
    return port + offset


def _fill_in(settings: S, state_dir: str) -> S:
    """`settings` with `{state_dir}` replaced in every text."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(STATE_DIR, state_dir)
        if isinstance(value, dict):
            return {key: fill(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [fill(each) for each in value]
        return value

    return msgspec.convert(fill(msgspec.to_builtins(settings)), type(settings))

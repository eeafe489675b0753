"""The sections of the configuration that both services share."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kilo_common.config import Section


class LogSettings(Section, frozen=True):
    """What is logged, and in which form."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least level shown.")
    ] = "info"
    format: Annotated[
        Literal["console", "json"],
        Meta(description="`console` for people, `json` (one object a line) for machines."),
    ] = "console"


class BusSettings(Section, frozen=True):
    """The bus that joins the services: RPC and notifications."""

    url: Annotated[
        str,
        Meta(
            description="Where the bus is: `memory://` inside one process; "
            "`rabbit://user:password@host:5672/virtual_host` between processes."
        ),
    ] = "memory://"
    exchange: Annotated[str, Meta(description="The control exchange of RPC and notifications.")] = (
        "openstack"
    )
    notification_topic: Annotated[
        str, Meta(description="The topic that events are announced on.")
    ] = "notifications"


class HttpSettings(Section, frozen=True):
    """One HTTP listener."""

    host: Annotated[str, Meta(description="The address to listen on.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="The port to listen on.", ge=0, le=65535)] = 0
    public_url: Annotated[
        str,
        Meta(
            description="The URL clients use, where it is not the one they are seen to use "
            "(behind a proxy). Empty: taken from each request."
        ),
    ] = ""
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins whose pages may call this API from a browser; `*` for any."),
    ] = ()


class BasicUser(Section, frozen=True):
    """What a user of the htpasswd file may do."""

    project: Annotated[
        str, Meta(description="The project the user works in.", min_length=1, max_length=256)
    ] = "demo"
    roles: Annotated[tuple[str, ...], Meta(description="The user's roles there.")] = (
        "member",
        "reader",
    )


class BasicAuthSettings(Section, frozen=True):
    """Passwords from a file, by HTTP's Basic scheme."""

    file: Annotated[
        str,
        Meta(
            description="The htpasswd file, with bcrypt entries only (`htpasswd -B`). "
            "`{state_dir}` stands for the state folder."
        ),
    ] = "{state_dir}/htpasswd"
    realm: Annotated[
        str, Meta(description="What a browser shows.", pattern=r'^[^"\\\x00-\x1f]*$')
    ] = "Kilostack"
    remember: Annotated[
        float,
        Meta(
            description="Seconds for which a password that was right is not checked again: "
            "bcrypt is slow on purpose.",
            ge=0,
            le=3600,
        ),
    ] = 60.0
    users: Annotated[
        dict[str, BasicUser],
        Meta(description="The project and roles of each user in the file; no more, no fewer."),
    ] = msgspec.field(default_factory=dict)


class AuthSettings(Section, frozen=True):
    """How a caller is identified."""

    strategy: Annotated[
        Literal["none", "http_basic"],
        Meta(
            description="`none`: everybody is let in; the project comes from X-Project-Id, the "
            "roles from X-Roles; for loopback only. `http_basic`: names and passwords of a file."
        ),
    ] = "none"
    default_project: Annotated[
        str, Meta(description="`none`: the project of a caller who names none.", min_length=1)
    ] = "demo"
    default_roles: Annotated[
        tuple[str, ...], Meta(description="`none`: the roles of a caller who names none.")
    ] = ("admin", "member", "reader")
    allow_insecure_bind: Annotated[
        bool,
        Meta(
            description="Allow `none` on an address that other machines can reach. Whoever reaches "
            "it may then read and delete everything."
        ),
    ] = False
    http_basic: Annotated[BasicAuthSettings, Meta(description="For the strategy `http_basic`.")] = (
        BasicAuthSettings()
    )


class DatabaseSettings(Section, frozen=True):
    """One database."""

    url: Annotated[
        str,
        Meta(
            description="An SQLAlchemy URL: sqlite:///PATH, postgresql+psycopg://…, "
            "mariadb+pymysql://…. `{state_dir}` stands for the state folder."
        ),
    ] = ""
    pool_size: Annotated[
        int, Meta(description="Connections kept for reading (SQLite) or in all.", ge=1, le=200)
    ] = 8
    busy_timeout: Annotated[
        float, Meta(description="Seconds to wait for a lock that somebody else holds.", gt=0)
    ] = 30.0

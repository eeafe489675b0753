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


class DevProject(Section, frozen=True):
    """A project of the built-in identity service."""

    id: Annotated[str, Meta(description="Its id. Empty: its name.")] = ""
    description: Annotated[str, Meta(description="What it is for.")] = ""


class DevUser(Section, frozen=True):
    """A user of the built-in identity service. The name is the id too."""

    password: Annotated[str, Meta(description="In plain text.", min_length=1)]
    roles: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="The roles by project. admin implies manager, manager member, member "
            "reader."
        ),
    ] = msgspec.field(default_factory=dict)


def _dev_projects() -> dict[str, DevProject]:
    return {
        "admin": DevProject(description="For the operator"),
        "demo": DevProject(description="For a first look"),
        "alt": DevProject(description="A second tenant"),
        "service": DevProject(description="For services"),
    }


def _dev_users() -> dict[str, DevUser]:
    return {
        "admin": DevUser(
            password="admin",  # noqa: S106 - known to everybody, hence loopback only
            roles={"admin": ("admin",), "demo": ("admin",)},
        ),
        "demo": DevUser(password="demo", roles={"demo": ("member",)}),  # noqa: S106 - as above
        "alt": DevUser(password="alt", roles={"alt": ("member",)}),  # noqa: S106 - as above
        "kilostack": DevUser(
            password="kilostack",  # noqa: S106 - as above
            roles={"service": ("service",)},
        ),
    }


class DevHttpSettings(HttpSettings, frozen=True):
    """The Identity API's listener."""

    port: Annotated[int, Meta(description="The port to listen on.", ge=0, le=65535)] = 5000


class DevIdentitySettings(Section, frozen=True):
    """The built-in identity service: Identity API v3 for one machine."""

    http: Annotated[DevHttpSettings, Meta(description="The Identity API's listener.")] = (
        DevHttpSettings()
    )
    key_file: Annotated[
        str,
        Meta(
            description="The key that tokens are signed with; made at the first start. Beside it "
            "lies the list of revoked tokens."
        ),
    ] = "{state_dir}/identity.key"
    token_lifetime: Annotated[int, Meta(description="Seconds a token is good for.", ge=1)] = 14400
    region: Annotated[str, Meta(description="The region in the catalog.", min_length=1)] = (
        "RegionOne"
    )
    projects: Annotated[
        dict[str, DevProject],
        Meta(description="The projects by name; a table of one's own replaces all of these."),
    ] = msgspec.field(default_factory=_dev_projects)
    users: Annotated[
        dict[str, DevUser],
        Meta(description="The users by name; a table of one's own replaces all of these."),
    ] = msgspec.field(default_factory=_dev_users)


class KeystoneSettings(Section, frozen=True):
    """A Keystone elsewhere, and who this service is there."""

    auth_url: Annotated[str, Meta(description="Where this service asks: http://HOST:5000/v3.")] = ""
    public_url: Annotated[
        str, Meta(description="Where clients are sent on a 401. Empty: the same.")
    ] = ""
    username: Annotated[str, Meta(description="A user with the role `service`.")] = ""
    password: Annotated[str, Meta(description="The user's password.")] = ""
    project: Annotated[str, Meta(description="The user's project.")] = "service"
    user_domain: Annotated[str, Meta(description="The user's domain, by name.")] = "Default"
    project_domain: Annotated[str, Meta(description="The project's domain, by name.")] = "Default"
    ca_file: Annotated[
        str, Meta(description="Certificates to trust for https. Empty: the system's.")
    ] = ""
    remember: Annotated[
        int, Meta(description="Seconds for which an answer of Keystone holds; -1: none.", ge=-1)
    ] = 300


class AuthSettings(Section, frozen=True):
    """How a caller is identified."""

    strategy: Annotated[
        Literal["none", "http_basic", "dev", "keystone"],
        Meta(
            description="`none`: everybody is let in; the project comes from X-Project-Id, the "
            "roles from X-Roles; for loopback only. `http_basic`: names and passwords of a file. "
            "`dev`: tokens of the built-in identity service; for loopback only. `keystone`: tokens "
            "of a Keystone elsewhere."
        ),
    ] = "dev"
    default_project: Annotated[
        str,
        Meta(
            description="`none`: the project of a caller who names none. `dev`: the project of "
            "the cloud `kilostack` in clouds.yaml.",
            min_length=1,
        ),
    ] = "demo"
    default_roles: Annotated[
        tuple[str, ...], Meta(description="`none`: the roles of a caller who names none.")
    ] = ("admin", "member", "reader")
    allow_insecure_bind: Annotated[
        bool,
        Meta(
            description="Allow `none` and `dev` on an address that other machines can reach. "
            "Whoever reaches it may then read and delete everything (`dev`: with the known "
            "passwords)."
        ),
    ] = False
    http_basic: Annotated[BasicAuthSettings, Meta(description="For the strategy `http_basic`.")] = (
        BasicAuthSettings()
    )
    dev: Annotated[DevIdentitySettings, Meta(description="For the strategy `dev`.")] = (
        DevIdentitySettings()
    )
    keystone: Annotated[KeystoneSettings, Meta(description="For the strategy `keystone`.")] = (
        KeystoneSettings()
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

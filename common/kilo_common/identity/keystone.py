"""The strategy `keystone`: tokens of a Keystone elsewhere, checked by its own middleware.

keystonemiddleware is a WSGI middleware; it is given a request that has nothing but the token, and
what it adds to that request is the identity. It keeps answers of Keystone for a while by itself.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from typing import Any
from wsgiref.util import setup_testing_defaults

from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg

from kilo_common.clock import Clock
from kilo_common.errors import ConfigInvalid, Unavailable
from kilo_common.http.auth import Identity
from kilo_common.identity.errors import ProjectMissing, TokenInvalid, TokenMissing
from kilo_common.settings import AuthSettings, KeystoneSettings

Environ = dict[str, Any]


class KeystoneSilent(Unavailable):
    """Keystone does not answer, or does not let this service check tokens."""

    code = "identity.keystone_silent"


class KeystoneAuth:
    """Reads `X-Auth-Token`, and no other header."""

    def __init__(self, settings: KeystoneSettings) -> None:
        uri = settings.public_url or settings.auth_url
        self.challenge = f'Keystone uri="{uri}"'
        self._middleware = AuthProtocol(_confirmed, _options(settings))

    @classmethod
    def open(cls, settings: AuthSettings, executor: Executor, clock: Clock) -> "KeystoneAuth":
        """The strategy over the configured Keystone, which is first asked with the first token.

        Raises:
            ConfigInvalid: it is not said where Keystone is, or who we are there.
        """
        del executor, clock
        for key in ("auth_url", "username", "password"):
            if not getattr(settings.keystone, key):
                raise ConfigInvalid(
                    f"auth.keystone.{key} is missing: auth.strategy is 'keystone'",
                    key=f"auth.keystone.{key}",
                )
        return cls(settings.keystone)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """The identity in the token.

        Raises also:
            KeystoneSilent: nobody can say whether the token is good.
        """
        token = headers.get("x-auth-token", "")
        if not token:
            raise TokenMissing("Send a token of the identity service: X-Auth-Token")
        if not (token.isascii() and token.isprintable()):
            raise TokenInvalid("The token is not one of Keystone's")
        found = self._ask(token)
        project = found.get("HTTP_X_PROJECT_ID", "")
        if not project:
            raise ProjectMissing("The token is for no project: sign in for one")
        roles = (role.strip().lower() for role in found.get("HTTP_X_ROLES", "").split(","))
        return Identity(project, found.get("HTTP_X_USER_ID", ""), tuple(filter(None, roles)))

    def _ask(self, token: str) -> Environ:
        """The request as the middleware leaves it."""
        environ: Environ = {"HTTP_X_AUTH_TOKEN": token}
        setup_testing_defaults(environ)
        statuses: list[str] = []

        def start_response(status: str, _headers: object, _exc_info: object = None) -> None:
            statuses.append(status)

        body = self._middleware(environ, start_response)
        getattr(body, "close", lambda: None)()
        if statuses == [_CONFIRMED]:
            return environ
        if statuses and statuses[0].startswith("401"):
            raise TokenInvalid("Keystone does not know the token, or it has ended: sign in again")
        raise KeystoneSilent("The token cannot be checked: Keystone does not answer as it should")


_CONFIRMED = "200 Confirmed"


def _confirmed(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The application behind the middleware: that it is called says that the token is good."""
    good = environ.get("HTTP_X_IDENTITY_STATUS") == "Confirmed"
    start_response(_CONFIRMED if good else "401 Unauthorized", [])
    return []


def _options(settings: KeystoneSettings) -> dict[str, Any]:
    """The middleware's own options; it reads no file."""
    local = cfg.ConfigOpts()
    local([], project="kilostack", default_config_files=[], default_config_dirs=[])
    return {
        "oslo_config_config": local,
        "auth_type": "password",
        "auth_url": settings.auth_url,
        "www_authenticate_uri": settings.public_url or settings.auth_url,
        "username": settings.username,
        "password": settings.password,
        "project_name": settings.project,
        "user_domain_name": settings.user_domain,
        "project_domain_name": settings.project_domain,
        "cafile": settings.ca_file or None,
        "token_cache_time": str(settings.remember),
        "interface": "internal",
        "service_token_roles_required": "true",
        "delay_auth_decision": "false",
    }

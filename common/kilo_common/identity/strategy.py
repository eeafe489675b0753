"""The strategy `dev`: the identity is in the token, which each service checks by itself."""

from collections.abc import Mapping
from concurrent.futures import Executor

from kilo_common.clock import Clock
from kilo_common.http.auth import Identity
from kilo_common.identity.errors import ProjectMissing, TokenMissing
from kilo_common.identity.service import Identities, open_identities
from kilo_common.settings import AuthSettings, HttpSettings


class DevAuth:
    """Reads `X-Auth-Token`, and no other header."""

    def __init__(self, identities: Identities, url: str, *, needs_project: bool = True) -> None:
        """`url` is the identity service's, for clients that come without a token."""
        self.challenge = f'Keystone uri="{url}"'
        self._identities = identities
        self._needs_project = needs_project

    @classmethod
    def open(cls, settings: AuthSettings, executor: Executor, clock: Clock) -> "DevAuth":
        """The strategy over the configured users.

        Raises:
            DirectoryInvalid, KeyInvalid: the configuration or the key file is wrong.
        """
        del executor
        return cls(open_identities(settings.dev, clock), url_of(settings.dev.http))

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """The identity in the token."""
        text = headers.get("x-auth-token", "")
        if not text:
            raise TokenMissing("Send a token of the identity service: X-Auth-Token")
        session = self._identities.check(text)
        if session.project is None and self._needs_project:
            raise ProjectMissing("The token is for no project: sign in for one")
        project_id = session.project.id if session.project else ""
        return Identity(project_id, session.user.id, session.roles)


def url_of(http: HttpSettings) -> str:
    """Where clients find a listener, by its configuration."""
    host = f"[{http.host}]" if ":" in http.host else http.host
    return http.public_url.rstrip("/") or f"http://{host}:{http.port}"

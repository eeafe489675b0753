"""What can be done with identities: sign in, check a token, give it back."""

from dataclasses import dataclass
from pathlib import Path

from kilo_common.clock import Clock
from kilo_common.identity.directory import Directory, Project, User, make_directory
from kilo_common.identity.errors import SignInRefused, TokenInvalid
from kilo_common.identity.keys import load_key
from kilo_common.identity.revocations import RevocationList
from kilo_common.identity.tokens import Token, TokenSigner, new_audit_id
from kilo_common.settings import DevIdentitySettings


@dataclass(frozen=True)
class Session:
    """A token that is good, and what it stands for now."""

    token: Token
    user: User
    project: Project | None
    roles: tuple[str, ...]


class Identities:
    """The operations, each once, for the Identity API and for the services' own checks."""

    def __init__(
        self,
        directory: Directory,
        signer: TokenSigner,
        revoked: RevocationList,
        clock: Clock,
        lifetime: int,
    ) -> None:
        self.directory = directory
        self._signer = signer
        self._revoked = revoked
        self._clock = clock
        self._lifetime = lifetime

    def by_password(self, user: User | None, password: str) -> User:
        """The user, if that is the password.

        Raises:
            SignInRefused: it is not, or there is no such user: nobody is told which.
        """
        if user is None or not user.has_password(password):
            raise SignInRefused("The name or the password is wrong")
        return user

    def issue(
        self,
        user: User,
        project: Project | None,
        methods: tuple[str, ...],
        parent: Token | None = None,
    ) -> tuple[str, Session]:
        """A new token, as clients carry it and as we see it. It ends no later than its parent.

        Raises:
            SignInRefused: the user has no role on the project.
        """
        now = int(self._clock.now().timestamp())
        token = Token(
            audit_id=new_audit_id(),
            user_id=user.id,
            project_id=project.id if project else "",
            issued_at=now,
            expires_at=parent.expires_at if parent else now + self._lifetime,
            methods=methods,
            parent_audit_id=(parent.parent_audit_id or parent.audit_id) if parent else "",
        )
        roles = user.roles.get(project.id, ()) if project else ()
        if project is not None and not roles:
            raise SignInRefused(f"The user {user.name} has no role on the project {project.name}")
        return self._signer.sign(token), Session(token, user, project, roles)

    def check(self, text: str) -> Session:
        """What a token stands for.

        Raises:
            TokenInvalid: it is not ours, has ended, or stands for nothing any more.
        """
        token = self._signer.read(text)
        if token.expires_at <= self._clock.now().timestamp():
            raise TokenInvalid("The token has expired: sign in again")
        if token.audit_id in self._revoked:
            raise TokenInvalid("The token has been revoked: sign in again")
        user = self.directory.users.get(token.user_id)
        if user is None:
            raise TokenInvalid("The token's user is not there any more")
        if not token.project_id:
            return Session(token, user, None, ())
        project = self.directory.projects.get(token.project_id)
        roles = user.roles.get(token.project_id, ())
        if project is None or not roles:
            raise TokenInvalid("The token's user has no role on its project any more")
        return Session(token, user, project, roles)

    def revoke(self, token: Token) -> None:
        """Make a token good for nothing, in every process, at once.

        Raises:
            Unavailable: it cannot be written down.
        """
        self._revoked.add(token.audit_id, token.expires_at)


def open_identities(settings: DevIdentitySettings, clock: Clock) -> Identities:
    """The operations over the configured users and the key in its file.

    Raises:
        DirectoryInvalid, KeyInvalid: the configuration or the key file is wrong.
    """
    directory = make_directory(settings)
    key_file = Path(settings.key_file)
    key = load_key(key_file)
    revoked = RevocationList(key_file.with_suffix(".revoked"), clock.now().timestamp())
    return Identities(directory, TokenSigner(key), revoked, clock, settings.token_lifetime)

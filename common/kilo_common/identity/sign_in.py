"""The body of `POST /v3/auth/tokens`, and what it asks for."""

from typing import Any

import msgspec

from kilo_common.identity.directory import DOMAIN_ID, DOMAIN_NAME, Project, User
from kilo_common.identity.errors import SignInInvalid, SignInRefused
from kilo_common.identity.service import Identities, Session
from kilo_common.identity.tokens import Token

METHODS = ("password", "token")


class _Domain(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None


class _Thing(msgspec.Struct, frozen=True):
    """A user or a project, by its id, or by its name and domain."""

    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None
    password: str = ""


class _Password(msgspec.Struct, frozen=True):
    user: _Thing


class _TokenId(msgspec.Struct, frozen=True):
    id: str


class _Identity(msgspec.Struct, frozen=True):
    methods: list[str]
    password: _Password | None = None
    token: _TokenId | None = None


class _Auth(msgspec.Struct, frozen=True):
    identity: _Identity
    scope: dict[str, Any] | str | None = None


class _SignIn(msgspec.Struct, frozen=True):
    auth: _Auth


def sign_in(identities: Identities, body: bytes) -> tuple[str, Session]:
    """A new token for whoever the body proves to come from.

    Raises:
        SignInInvalid: the body cannot be read.
        SignInRefused, TokenInvalid: it proves nothing, or asks for a project out of reach.
    """
    try:
        asked = msgspec.json.decode(body, type=_SignIn).auth
    except (msgspec.DecodeError, RecursionError) as fault:
        raise SignInInvalid(f"The body is no request to sign in: {fault}") from None
    user, parent = _prove(identities, asked.identity)
    project = _scope(identities, asked.scope)
    methods = dict.fromkeys([*(parent.methods if parent else ()), *asked.identity.methods])
    return identities.issue(user, project, tuple(methods), parent)


def _prove(identities: Identities, asked: _Identity) -> tuple[User, Token | None]:
    """The user, and the token that was given as a proof, if one was."""
    if not asked.methods:
        raise SignInInvalid("auth.identity.methods is empty; possible: password, token")
    user, parent = None, None
    for method in asked.methods:
        if method == "password" and asked.password is not None:
            proved = _by_password(identities, asked.password.user)
        elif method == "token" and asked.token is not None:
            session = identities.check(asked.token.id)
            proved, parent = session.user, session.token
        elif method in METHODS:
            raise SignInInvalid(f"auth.identity.{method} is missing")
        else:
            raise SignInRefused(f"There is no method {method[:64]!r}; possible: password, token")
        if user is not None and user != proved:
            raise SignInRefused("The methods prove different users")
        user = proved
    assert user is not None
    return user, parent


def _by_password(identities: Identities, asked: _Thing) -> User:
    found = None
    if _in_domain(asked, "user"):
        found = identities.directory.user(id=asked.id, name=asked.name)
    return identities.by_password(found, asked.password)


def _scope(identities: Identities, scope: dict[str, Any] | str | None) -> Project | None:
    if scope is None or scope == "unscoped" or (isinstance(scope, dict) and "unscoped" in scope):
        return None
    if not isinstance(scope, dict) or "project" not in scope:
        raise SignInRefused("A token is for a project or for none: there is no other scope")
    try:
        asked = msgspec.convert(scope["project"], _Thing)
    except msgspec.ValidationError as fault:
        raise SignInInvalid(f"auth.scope.project: {fault}") from None
    project = None
    if _in_domain(asked, "project"):
        project = identities.directory.project(id=asked.id, name=asked.name)
    if project is None:
        raise SignInRefused("There is no such project, or the user has no role on it")
    return project


def _in_domain(asked: _Thing, what: str) -> bool:
    """Whether the thing is looked for in the one domain there is.

    Raises:
        SignInInvalid: neither an id nor a name with a domain.
    """
    if asked.id is not None:
        return True
    if asked.name is None or asked.domain is None:
        raise SignInInvalid(f"The {what} must be named by id, or by name and domain")
    if asked.domain.id is not None:
        return asked.domain.id == DOMAIN_ID
    return asked.domain.name == DOMAIN_NAME

"""The Identity API v3 as a WSGI application: it reads requests, and writes what it is told.

Only tokens can be made and removed; everything else is read, and changed in the configuration.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.util import application_uri

import msgspec

from kilo_common.context import RequestContext
from kilo_common.http.body import read_body
from kilo_common.http.gateway import CONTEXT_KEY, Environ, Headers, StartResponse
from kilo_common.identity import documents
from kilo_common.identity.catalog import ServiceCatalog
from kilo_common.identity.documents import JSON, Document
from kilo_common.identity.errors import (
    NotYours,
    PathUnknown,
    ReadOnly,
    SignInInvalid,
    SubjectUnknown,
    TokenInvalid,
    TokenMissing,
)
from kilo_common.identity.service import Identities, Session
from kilo_common.identity.sign_in import sign_in

TOKENS = "/v3/auth/tokens"
PUBLIC_PATHS = frozenset({"", "/", "/v3", "/v3/", TOKENS})
"""Answered without an identity; TOKENS looks at the tokens by itself."""
BODY_LIMIT = 65536
_TRUSTED = frozenset({"admin", "service"})
"""Roles whose holders may look at other people's tokens."""


@dataclass(frozen=True)
class Answer:
    """A status, headers and a document, or none."""

    status: HTTPStatus
    document: Document | None = None
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A request to read something."""

    context: RequestContext
    query: Mapping[str, str]
    url: str


class IdentityApp:
    """Identity API v3."""

    def __init__(self, identities: Identities, catalog: ServiceCatalog, public_url: str) -> None:
        self._identities = identities
        self._directory = identities.directory
        self._catalog = catalog
        self._public_url = public_url.rstrip("/")
        self._collections: Mapping[str, tuple[str, Callable[[], Iterable[Document]]]] = {
            "projects": ("project", self._projects),
            "users": ("user", self._users),
            "roles": ("role", self._roles),
            "domains": ("domain", lambda: [documents.domain_document()]),
            "regions": ("region", lambda: [{"id": catalog.region, "description": ""}]),
            "services": ("service", catalog.services),
            "endpoints": ("endpoint", catalog.endpoints),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        answer = self._tokens(environ, method) if path == TOKENS else self._read(environ, method)
        headers = [*answer.headers, ("Vary", "X-Auth-Token")]
        body = b""
        if answer.document is not None:
            body = msgspec.json.encode(answer.document)
            headers.append(("Content-Type", JSON))
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(body))))
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        return [b"" if method == "HEAD" else body]

    def _tokens(self, environ: Environ, method: str) -> Answer:
        catalog = None if "nocatalog" in _query(environ) else self._catalog
        if method == "POST":
            text, session = sign_in(self._identities, read_body(environ, BODY_LIMIT))
            document = documents.token_document(session, catalog)
            return Answer(HTTPStatus.CREATED, document, [("X-Subject-Token", text)])
        if method not in ("GET", "HEAD", "DELETE"):
            raise _not_allowed(method, "GET, HEAD, POST, DELETE")
        text, session = self._subject(environ)
        if method == "DELETE":
            self._identities.revoke(session.token)
            return Answer(HTTPStatus.NO_CONTENT)
        document = documents.token_document(session, catalog)
        return Answer(HTTPStatus.OK, document, [("X-Subject-Token", text)])

    def _subject(self, environ: Environ) -> tuple[str, Session]:
        """The token that a request is about, if the caller may know of it."""
        own = environ.get("HTTP_X_AUTH_TOKEN", "")
        text = environ.get("HTTP_X_SUBJECT_TOKEN", "")
        if not own:
            raise TokenMissing("Send a token of your own: X-Auth-Token")
        caller = self._identities.check(own)
        if not text:
            raise SignInInvalid("Say which token is meant: X-Subject-Token")
        try:
            session = self._identities.check(text)
        except TokenInvalid as fault:
            raise SubjectUnknown(f"X-Subject-Token: {fault.message}") from None
        if session.user != caller.user and not _TRUSTED.intersection(caller.roles):
            raise NotYours("This token is not yours")
        return text, session

    def _read(self, environ: Environ, method: str) -> Answer:
        path = environ["PATH_INFO"]
        base = self._public_url or application_uri({**environ, "SCRIPT_NAME": ""}).rstrip("/")
        if path in PUBLIC_PATHS:
            _only_read(method)
            version = documents.version_document(base)
            if path in ("", "/"):
                return Answer(HTTPStatus.MULTIPLE_CHOICES, {"versions": {"values": [version]}})
            return Answer(HTTPStatus.OK, {"version": version})
        call = Call(environ[CONTEXT_KEY], _query(environ), base + path)
        document = self._find(call, path.strip("/").split("/"))
        _only_read(method)
        return Answer(HTTPStatus.OK, document)

    def _find(self, call: Call, path: list[str]) -> Document:
        """The document at a path."""
        match path:
            case ["v3", "auth", "catalog"]:
                return {"catalog": self._catalog.document(), "links": {"self": call.url}}
            case ["v3", "auth", "projects"]:
                return self._projects_of(call, call.context.user_id or "")
            case ["v3", "users", user_id, "projects"]:
                _only_for(call.context, user_id == call.context.user_id)
                return self._projects_of(call, user_id)
            case ["v3", name] if name in self._collections:
                _only_for(call.context, name not in ("projects", "users"))
                records = self._collections[name][1]()
                return documents.page(name, records, call.query, call.url)
            case ["v3", name, record_id] if name in self._collections:
                return self._one(call.context, name, record_id)
        raise PathUnknown("There is nothing at this path")

    def _one(self, context: RequestContext, name: str, record_id: str) -> Document:
        singular, records = self._collections[name]
        if name == "projects":
            user = self._directory.users[context.user_id or ""]
            _only_for(context, record_id in user.roles)
        if name == "users":
            _only_for(context, record_id == context.user_id)
        for record in records():
            if record["id"] == record_id:
                return {singular: record}
        raise SubjectUnknown(f"There is no {singular} with the id {record_id[:64]!r}")

    def _projects_of(self, call: Call, user_id: str) -> Document:
        user = self._directory.user(id=user_id, name=None)
        if user is None:
            raise SubjectUnknown(f"There is no user with the id {user_id[:64]!r}")
        found = (documents.project_document(each) for each in self._directory.projects_of(user))
        return documents.page("projects", found, call.query, call.url)

    def _projects(self) -> Iterable[Document]:
        return map(documents.project_document, self._directory.projects.values())

    def _users(self) -> Iterable[Document]:
        return map(documents.user_document, self._directory.users.values())

    def _roles(self) -> Iterable[Document]:
        return map(documents.role_document, self._directory.role_names())


def _query(environ: Environ) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            environ.get("QUERY_STRING", ""), keep_blank_values=True, max_num_fields=50
        )
    except ValueError as fault:
        raise SignInInvalid(f"The query string cannot be read: {fault}") from None
    return dict(pairs)


def _only_for(context: RequestContext, theirs: bool) -> None:
    if not (theirs or context.is_admin):
        raise NotYours("Only an administrator may see this")


def _only_read(method: str) -> None:
    if method not in ("GET", "HEAD"):
        raise _not_allowed(method, "GET, HEAD")


def _not_allowed(method: str, allowed: str) -> ReadOnly:
    return ReadOnly(
        f"{method} is not possible here: projects, users and roles are changed in the "
        "configuration (auth.dev)",
        headers={"Allow": allowed},
    )

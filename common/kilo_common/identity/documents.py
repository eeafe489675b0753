"""What the Identity API answers with: tokens, records, versions, errors."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from kilo_common.errors import KiloError
from kilo_common.identity.catalog import ServiceCatalog
from kilo_common.identity.directory import DOMAIN_ID, DOMAIN_NAME, Project, User
from kilo_common.identity.service import Session

Document = dict[str, Any]
JSON = "application/json"
_DOMAIN = {"id": DOMAIN_ID, "name": DOMAIN_NAME}


def token_document(session: Session, catalog: ServiceCatalog | None) -> Document:
    """A token; with the catalog if it is for a project."""
    token = session.token
    found: Document = {
        "methods": list(token.methods),
        "user": {
            "id": session.user.id,
            "name": session.user.name,
            "domain": _DOMAIN,
            "password_expires_at": None,
        },
        "audit_ids": token.audit_ids,
        "issued_at": _moment(token.issued_at),
        "expires_at": _moment(token.expires_at),
    }
    if session.project is not None:
        project = session.project
        found |= {
            "project": {"id": project.id, "name": project.name, "domain": _DOMAIN},
            "is_domain": False,
            "roles": [role_document(role) for role in session.roles],
        }
        if catalog is not None:
            found["catalog"] = catalog.document()
    return {"token": found}


def project_document(project: Project) -> Document:
    """A project's record."""
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "enabled": True,
        "is_domain": False,
        "tags": [],
        "options": {},
    }


def user_document(user: User) -> Document:
    """A user's record; never the password."""
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": DOMAIN_ID,
        "enabled": True,
        "password_expires_at": None,
        "options": {},
    }


def role_document(name: str) -> Document:
    """A role's record, with the same id at each start."""
    role_id = uuid.uuid5(uuid.NAMESPACE_URL, f"kilostack:role:{name}").hex
    return {"id": role_id, "name": name, "domain_id": None, "options": {}}


def domain_document() -> Document:
    """The one domain's record."""
    return _DOMAIN | {"description": "The only domain", "enabled": True, "tags": [], "options": {}}


def version_document(base: str) -> Document:
    """The one version."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": JSON, "type": "application/vnd.openstack.identity-v3+json"}],
    }


def page(name: str, records: Iterable[Document], query: Mapping[str, str], url: str) -> Document:
    """A list: the records that have all of the values asked for."""
    wanted = {key: text.lower() for key, text in query.items()}
    found = [
        record
        for record in records
        if all(str(record[key]).lower() == text for key, text in wanted.items() if key in record)
    ]
    return {name: found, "links": {"self": url, "next": None, "previous": None}}


def error_body(error: KiloError, status: HTTPStatus) -> tuple[bytes, str]:
    """An error as this API writes it, with its content type."""
    body = {
        "code": status.value,
        "title": status.phrase,
        "message": error.message,
        "reason": error.code,
    }
    return msgspec.json.encode({"error": body}), JSON


def _moment(seconds: int) -> str:
    """A time as this API writes it: with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Who there is: projects, users and roles, as the configuration has them. Pure."""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kilo_common.identity.errors import DirectoryInvalid
from kilo_common.settings import DevIdentitySettings

DOMAIN_ID, DOMAIN_NAME = "default", "Default"
IMPLIED = {"admin": "manager", "manager": "member", "member": "reader"}
"""A role and the one that it brings along."""
ROLES = ("admin", "manager", "member", "reader", "service")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True)
class Project:
    """A tenant."""

    id: str
    name: str
    description: str


@dataclass(frozen=True)
class User:
    """Somebody who can sign in."""

    id: str
    name: str
    password: str
    roles: Mapping[str, tuple[str, ...]]
    """All roles, implied ones included, by the project's id."""

    def has_password(self, password: str) -> bool:
        """Whether that is the password, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self.password.encode(), password.encode(errors="replace"))


class Directory:
    """All projects and users."""

    def __init__(self, projects: Iterable[Project], users: Iterable[User]) -> None:
        self.projects = {each.id: each for each in projects}
        self.users = {each.id: each for each in users}
        self._projects_by_name = {each.name: each for each in self.projects.values()}

    def project(self, *, id: str | None, name: str | None) -> Project | None:
        """The project with that id, or else that name."""
        if id is not None:
            return self.projects.get(id)
        return self._projects_by_name.get(name or "")

    def user(self, *, id: str | None, name: str | None) -> User | None:
        """The user with that id, or else that name."""
        return self.users.get(id if id is not None else name or "")

    def projects_of(self, user: User) -> list[Project]:
        """The projects on which a user has a role."""
        return [self.projects[each] for each in user.roles]

    def role_names(self) -> list[str]:
        """Every role there is."""
        given = {
            role for user in self.users.values() for each in user.roles.values() for role in each
        }
        return sorted(given.union(ROLES))


def make_directory(settings: DevIdentitySettings) -> Directory:
    """The projects and users of the configuration.

    Raises:
        DirectoryInvalid: a name is not fit for URLs, an id is taken twice, or a user has a role
            on a project that is not there.
    """
    projects = [
        Project(_checked(each.id or name, "projects"), _checked(name, "projects"), each.description)
        for name, each in settings.projects.items()
    ]
    ids = {project.name: project.id for project in projects}
    if len(set(ids.values())) < len(ids):
        raise DirectoryInvalid("auth.dev.projects: two projects have the same id")
    users = []
    for name, each in settings.users.items():
        for project in each.roles:
            if project not in ids:
                raise DirectoryInvalid(
                    f"auth.dev.users.{name}: there is no project {project!r}; projects are: "
                    f"{', '.join(ids)}",
                    key=f"auth.dev.users.{name}.roles",
                )
        roles = {ids[project]: expand(given) for project, given in each.roles.items() if given}
        users.append(User(_checked(name, "users"), name, each.password, roles))
    return Directory(projects, users)


def expand(roles: Iterable[str]) -> tuple[str, ...]:
    """The roles and those that they imply, sorted."""
    found = set()
    for role in roles:
        each: str | None = role.strip().lower()
        while each:
            found.add(each)
            each = IMPLIED.get(each)
    return tuple(sorted(found))


def _checked(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise DirectoryInvalid(
            f"auth.dev.{where}: {name!r} cannot be used: letters, digits and _.@- only, at most 64",
            key=f"auth.dev.{where}",
        )
    return name

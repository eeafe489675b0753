"""A listing of tasks: what a query string may ask for."""

from collections.abc import Sequence

from msgspec import Struct

from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.task import Task, TaskStatus
from kilo_catalog.errors import ListQueryInvalid

SORT_KEYS = ("created_at", "updated_at", "status", "type")
Pairs = Sequence[tuple[str, str]]
_FILTERS = frozenset({"type", "status", "owner", "image_id", "request_id"})


class TaskQuery(Struct, frozen=True):
    """Which tasks, in which order, from where on."""

    limit: int
    owner: str | None = None
    type: str | None = None
    status: str | None = None
    image_id: str | None = None
    request_id: str | None = None
    sort_key: str = "created_at"
    descending: bool = True
    marker: str | None = None


class TaskPage(Struct, frozen=True):
    """Some tasks, and whether there are more."""

    tasks: tuple[Task, ...]
    has_more: bool


def parse_task_query(pairs: Pairs, limits: Limits) -> TaskQuery:
    """What the query string asks for.

    Raises:
        ListQueryInvalid: it is malformed.
    """
    values = dict(pairs)
    unknown = set(values) - _FILTERS - {"limit", "marker", "sort_key", "sort_dir"}
    if unknown:
        raise ListQueryInvalid(
            f"Tasks cannot be filtered by {sorted(unknown)[0][:64]!r}; filters are: "
            f"{', '.join(sorted(_FILTERS))}"
        )
    sort_key, direction = values.get("sort_key", "created_at"), values.get("sort_dir", "desc")
    if sort_key not in SORT_KEYS:
        raise ListQueryInvalid(f"sort_key must be one of {', '.join(SORT_KEYS)}")
    if direction not in ("asc", "desc"):
        raise ListQueryInvalid("sort_dir must be asc or desc")
    status = values.get("status")
    if status is not None and status not in {each.value for each in TaskStatus}:
        raise ListQueryInvalid(
            f"status must be one of {', '.join(each.value for each in TaskStatus)}"
        )
    return TaskQuery(
        limit=_limit(values.get("limit"), limits),
        sort_key=sort_key,
        descending=direction == "desc",
        marker=values.get("marker"),
        **{name: values[name] for name in _FILTERS if name in values},
    )


def sort_place(task: Task, key: str) -> tuple[object, str]:
    """Where a task stands in an order; no two stand at the same place."""
    value = getattr(task, key)
    return (value.value if isinstance(value, TaskStatus) else value, task.id)


def _limit(text: str | None, limits: Limits) -> int:
    if text is None:
        return limits.page_default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ListQueryInvalid("limit must be a whole number, 0 or more")
    return min(int(text), limits.page_most)

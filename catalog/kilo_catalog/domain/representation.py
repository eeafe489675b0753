"""Images and their members as the API shows them: in answers, lists and the payload of events."""

from typing import Any

import msgspec

from kilo_catalog.domain.image import Image, ImportState
from kilo_catalog.domain.member import Member
from kilo_catalog.domain.task import Task
from kilo_common.clock import iso8601


def represent(image: Image) -> dict[str, Any]:
    """The image as JSON values. Properties come first: none may hide a field of ours."""
    path = f"/v2/images/{image.id}"
    shown: dict[str, Any] = {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status.value,
        "visibility": image.visibility.value,
        "owner": image.owner,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "created_at": iso8601(image.created_at),
        "updated_at": iso8601(image.updated_at),
        "tags": image.tags,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
    if image.imports is not None:
        shown.update(_represent_import(image.imports))
    if image.locations:
        shown["stores"] = ",".join(dict.fromkeys(each.store for each in image.locations))
    return shown


def _represent_import(state: ImportState) -> dict[str, str]:
    shown = {
        "os_glance_importing_to_stores": ",".join(state.waiting),
        "os_glance_failed_import": ",".join(state.failed),
    }
    if state.task is not None:
        shown["os_glance_import_task"] = state.task
    if state.message:
        shown["os_glance_import_message"] = state.message
    return shown


def represent_member(member: Member) -> dict[str, Any]:
    """The membership as JSON values."""
    return {
        "image_id": member.image_id,
        "member_id": member.project_id,
        "status": member.status.value,
        "created_at": iso8601(member.created_at),
        "updated_at": iso8601(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def represent_task(task: Task) -> dict[str, Any]:
    """The task as JSON values, with what went in and came out."""
    return represent_task_briefly(task) | {"input": task.input, "result": task.result}


def represent_task_briefly(task: Task) -> dict[str, Any]:
    """The task as JSON values, without its input, which may name what others must not see."""
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status.value,
        "owner": task.owner,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "created_at": iso8601(task.created_at),
        "updated_at": iso8601(task.updated_at),
        "expires_at": iso8601(task.expires_at) if task.expires_at else None,
        "message": task.message,
        "progress": msgspec.to_builtins(task.progress),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }

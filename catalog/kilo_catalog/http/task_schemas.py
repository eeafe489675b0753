"""JSON schemas of tasks."""

from typing import Any

from kilo_catalog.domain.convert_request import CONVERT_TASK
from kilo_catalog.domain.import_request import ADMIN_TASK, IMPORT_TASK
from kilo_catalog.domain.task import TaskStatus

Schema = dict[str, Any]


def task_schema() -> Schema:
    """One task."""
    text = {"type": "string"}
    maybe = {"type": ["null", "string"]}
    maybe_object = {"type": ["null", "object"]}
    number = {"type": ["null", "integer"]}
    progress = {"step": text, "percent": number, "bytes": number, "total": number}
    return {
        "name": "task",
        "properties": {
            "id": {**text, "description": "An identifier for the task"},
            "type": {
                **text,
                "description": "The type of task",
                "enum": [ADMIN_TASK, IMPORT_TASK, CONVERT_TASK],
            },
            "status": {
                **text,
                "description": "The current status of this task",
                "enum": [each.value for each in TaskStatus],
            },
            "input": {**maybe_object, "description": "What was asked for"},
            "result": {**maybe_object, "description": "What came of it"},
            "owner": {**maybe, "description": "The project whose task it is"},
            "message": {**maybe, "description": "What a person should know, such as why it failed"},
            "progress": {
                "type": ["null", "object"],
                "description": "How far it is",
                "properties": progress,
            },
            "expires_at": {**maybe, "description": "When the task is forgotten"},
            "created_at": {**text, "description": "When the task was made"},
            "updated_at": {**text, "description": "When it last changed"},
            "image_id": {**maybe, "description": "The image it is about"},
            "request_id": {**maybe, "description": "The request that made it"},
            "user_id": {**maybe, "description": "Who made it"},
            "self": {**text, "readOnly": True},
            "schema": {**text, "readOnly": True},
        },
    }


def tasks_schema(task: Schema) -> Schema:
    """A page of tasks."""
    return {
        "name": "tasks",
        "properties": {
            "tasks": {"type": "array", "items": task},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }

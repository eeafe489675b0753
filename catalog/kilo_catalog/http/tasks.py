"""Tasks: list, make, show, forget; those of an image: list, cancel, retry."""

from flask import Blueprint, Response, request

from kilo_catalog.domain.representation import represent_task, represent_task_briefly
from kilo_catalog.domain.task_query import Pairs, TaskPage
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response, link


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/tasks` and `/v2/images/ID/tasks`."""
    routes = Blueprint("tasks", __name__)
    tasks = services.tasks

    @routes.get("/v2/tasks")
    def list_page() -> Response:
        pairs = list(request.args.items(multi=True))
        return json_response(_page(tasks.list_page(context(), pairs), pairs))

    @routes.post("/v2/tasks")
    def create() -> Response:
        task = tasks.create(context(), json_body(services.limits.body_size))
        base = (services.public_url or request.host_url).rstrip("/")
        return json_response(represent_task(task), 201, {"Location": f"{base}/v2/tasks/{task.id}"})

    @routes.get("/v2/tasks/<task_id>")
    def show(task_id: str) -> Response:
        return json_response(represent_task(tasks.get(context(), task_id)))

    @routes.delete("/v2/tasks/<task_id>")
    def remove(task_id: str) -> Response:
        tasks.remove(context(), task_id)
        return empty_response()

    @routes.get("/v2/images/<image_id>/tasks")
    def of_image(image_id: str) -> Response:
        found = tasks.list_image(context(), image_id)
        return json_response({"tasks": [represent_task(task) for task in found]})

    @routes.post("/v2/images/<image_id>/tasks/<task_id>/actions/cancel")
    def cancel(image_id: str, task_id: str) -> Response:
        return json_response(represent_task(tasks.cancel(context(), image_id, task_id)), 202)

    @routes.post("/v2/images/<image_id>/tasks/<task_id>/actions/retry")
    def retry(image_id: str, task_id: str) -> Response:
        return json_response(represent_task(tasks.retry(context(), image_id, task_id)), 202)

    return routes


def _page(page: TaskPage, pairs: Pairs) -> dict[str, object]:
    rest = [(name, value) for name, value in pairs if name != "marker"]
    document: dict[str, object] = {
        "tasks": [represent_task_briefly(task) for task in page.tasks],
        "first": link("/v2/tasks", rest),
        "schema": "/v2/schemas/tasks",
    }
    if page.has_more and page.tasks:
        document["next"] = link("/v2/tasks", [*rest, ("marker", page.tasks[-1].id)])
    return document

"""gunicorn's configuration, and the application that its workers load.

Nothing of ours is imported when this module is: gunicorn reads it in its parent process, and the
workers patch the standard library first.
"""

import importlib
from typing import Any

worker_class = "gevent"
worker_connections = 2000
keepalive = 60
timeout = 60
_running: dict[str, Any] = {}


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """The WSGI application of the role that this worker serves."""
    return _running["part"].app(environ, start_response)


def post_worker_init(worker: Any) -> None:
    """Put the role together and start its background services, in a worker that is patched."""
    production = importlib.import_module("kilo_deploy.production")
    lifecycle = importlib.import_module("kilo_common.lifecycle")
    part = production.open_worker()
    services = lifecycle.ServiceGroup(part.services)
    services.start()
    importlib.import_module("kilo_deploy.processes").spare_the_collector()
    _running.update(part=part, services=services)
    worker.log.info("worker %s serves", worker.pid)


def worker_exit(server: Any, worker: Any) -> None:
    """Stop what `post_worker_init` started."""
    del server, worker
    if _running:
        _running["services"].stop(10.0)
        _running["part"].close()

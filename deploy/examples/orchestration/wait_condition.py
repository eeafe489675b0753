"""A wait condition: an orchestrator makes servers and waits until each says that it is ready.

    OS_CLOUD=kilostack python wait_condition.py [--servers 3] [--broken] [--keep]

It needs python-zaqarclient and openstacksdk, and of this project nothing but a running stack. The
calls to the client library are those that Heat's resources make: `OS::Zaqar::Queue`,
`OS::Zaqar::SignedQueueURL` and `OS::Zaqar::Subscription`, and the engine's own polling for signals.
The servers have no account: all they are given is a signed URL, good for this one topic, for
posting only, and not for long. Each could signal in its cloud-init with nothing but curl.
"""

import argparse
import json
import threading
import time
import uuid
from typing import Any
from urllib.request import Request, urlopen

import openstack
from zaqarclient.queues import client as queues

SUCCESS, FAILURE = "SUCCESS", "FAILURE"
Handle = tuple[str, dict[str, str]]
"""A URL, and the headers that make it good."""


class SignalFailed(Exception):
    """A server says that it could not be set up."""


class WaitCondition:
    """What the orchestrator holds."""

    def __init__(self, zaqar: Any, endpoint: str, name: str) -> None:
        self._zaqar = zaqar
        self._endpoint = endpoint
        self._name = name
        # OS::Zaqar::Queue: the queue comes into being with its metadata.
        self._queue = zaqar.queue(name, auto_create=False)
        self._queue.metadata(new_meta={"stack": "example", "_default_message_ttl": 3600})
        # OS::Zaqar::Subscription: a copy of each signal for whoever follows the stack's events.
        self._subscription = zaqar.subscription(
            name, subscriber="topic:stack.events", ttl=3600, options={}, auto_create=True
        )

    def handle(self) -> Handle:
        """What a server needs to signal: OS::Zaqar::SignedQueueURL."""
        signed = self._queue.signed_url(paths=["messages"], methods=["POST"], ttl_seconds=600)
        headers = {
            "URL-Signature": signed["signature"],
            "URL-Expires": signed["expires"],
            "URL-Methods": ",".join(signed["methods"]),
            "URL-Paths": ",".join(signed["paths"]),
            "X-Project-ID": signed["project"],
        }
        return self._endpoint.rstrip("/") + signed["paths"][0], headers

    def wait(self, count: int, timeout: float) -> dict[str, str]:
        """The data of `count` signals, by the ids of who sent them.

        Raises:
            SignalFailed: one of them is a failure.
            TimeoutError: they did not come in time.
        """
        heard: dict[str, str] = {}
        deadline = time.monotonic() + timeout
        while len(heard) < count:
            signals = list(self._queue.pop())  # as Heat's engine asks, again and again
            for signal in signals:
                body = signal.body
                if body["status"] != SUCCESS:
                    raise SignalFailed(f"{body['id']}: {body['reason']}")
                heard[body["id"]] = body["data"]
            if not signals:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(heard)} of {count} signals came")
                time.sleep(0.1)
        return heard

    def delete(self) -> None:
        """As the stack is deleted."""
        self._subscription.delete()
        self._queue.delete()


def be_a_server(handle: Handle, name: str, status: str) -> None:
    """What runs in a server, which has no account: one POST."""
    url, headers = handle
    reason = "it is set up" if status == SUCCESS else "a package is missing"
    signal = {"id": name, "status": status, "reason": reason, "data": f"{name} is at 192.0.2.1"}
    request = Request(  # noqa: S310 - the endpoint is the catalog's
        url,
        data=json.dumps({"messages": [{"body": signal}]}).encode(),
        headers={**headers, "Content-Type": "application/json", "Client-ID": str(uuid.uuid4())},
    )
    urlopen(request).close()  # noqa: S310


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--broken", action="store_true", help="the last server fails")
    parser.add_argument("--keep", action="store_true", help="delete nothing in the end")
    options = parser.parse_args()
    session = openstack.connect().session
    endpoint = session.get_endpoint(service_type="messaging")
    zaqar = queues.Client(endpoint, version=2, session=session)
    condition = WaitCondition(zaqar, endpoint, f"signals-{uuid.uuid4().hex[:8]}")
    try:
        handle = condition.handle()
        for number in range(options.servers):
            is_broken = options.broken and number == options.servers - 1
            status = FAILURE if is_broken else SUCCESS
            work = threading.Thread(target=be_a_server, args=(handle, f"server-{number}", status))
            work.start()
        for data in sorted(condition.wait(options.servers, timeout=60).values()):
            print(data)
    except SignalFailed as failure:
        raise SystemExit(f"The stack fails: {failure}") from None
    finally:
        if not options.keep:
            condition.delete()
    print("The stack is complete.")


if __name__ == "__main__":
    main()

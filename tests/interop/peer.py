"""The peer: an oslo.messaging service or client, driven by JSON lines on stdin and stdout.

    PEER/bin/python peer.py server|client|notifier|listener URL EXCHANGE TOPIC

It runs in its own environment and knows nothing of this project.
"""

import json
import sys
import time

import oslo_messaging
from oslo_config import cfg


def say(**what):
    print(json.dumps(what), flush=True)


def commands():
    for line in sys.stdin:
        yield json.loads(line)


class Plain:
    target = oslo_messaging.Target(version="1.2")

    def add(self, context, a, b=1):
        return a + b

    def who(self, context):
        return context

    def fail(self, context, text):
        raise ValueError(text)

    def refuse(self, context):
        raise oslo_messaging.ExpectedException

    def note(self, context, text):
        say(noted=text)

    def work(self, context, seconds):
        time.sleep(seconds)
        return "done"

    def _hidden(self, context):
        return "hidden"


class Doubling:
    target = oslo_messaging.Target(namespace="math", version="2.3")

    def double(self, context, x):
        return 2 * x


def serve(transport, topic):
    target = oslo_messaging.Target(topic=topic, server="peer-host")
    server = oslo_messaging.get_rpc_server(
        transport, target, [Plain(), Doubling()], executor="threading"
    )
    server.start()
    say(ready=True)
    for _ in commands():
        break
    server.stop()
    server.wait()


def call(transport, topic):
    say(ready=True)
    for command in commands():
        target = oslo_messaging.Target(
            topic=topic,
            namespace=command.get("namespace"),
            version=command.get("version", "1.0"),
            server=command.get("server"),
            fanout=command.get("fanout"),
        )
        client = oslo_messaging.get_rpc_client(
            transport,
            target,
            timeout=command.get("timeout", 10),
            call_monitor_timeout=command.get("monitor"),
        )
        how = client.cast if command["do"] == "cast" else client.call
        try:
            say(
                result=how(command.get("context", {}), command["method"], **command.get("args", {}))
            )
        except Exception as fault:  # noqa: BLE001 - whatever it is, the test is told
            say(
                error=type(fault).__name__,
                text=str(fault),
                remote=getattr(fault, "exc_type", None),
            )


def announce(transport, topic):
    notifier = oslo_messaging.Notifier(
        transport, publisher_id="peer.host", driver="messagingv2", topics=[topic]
    )
    say(ready=True)
    for command in commands():
        getattr(notifier, command["priority"])({}, command["event"], command["payload"])
        say(sent=command["event"])


class Heard:
    def info(self, context, publisher_id, event_type, payload, metadata):
        say(
            priority="info",
            publisher=publisher_id,
            event=event_type,
            payload=payload,
            metadata=metadata,
        )

    def error(self, context, publisher_id, event_type, payload, metadata):
        say(priority="error", event=event_type)


def listen(transport, topic):
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=topic)], [Heard()], executor="threading"
    )
    listener.start()
    say(ready=True)
    for _ in commands():
        break
    listener.stop()
    listener.wait()


def main():
    mode, url, exchange, topic = sys.argv[1:]
    cfg.CONF([])
    oslo_messaging.set_transport_defaults(exchange)
    rpc = mode in ("server", "client")
    get = oslo_messaging.get_rpc_transport if rpc else oslo_messaging.get_notification_transport
    modes = {"server": serve, "client": call, "notifier": announce, "listener": listen}
    modes[mode](get(cfg.CONF, url=url), topic)


if __name__ == "__main__":
    main()

"""A process of ours that a test may kill: serves a topic and writes down what it did.

python worker.py URL TOPIC FILE SECONDS_PER_CAST
"""

import sys
import threading
import time
from pathlib import Path

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.context import RequestContext
from kilo_common.ids import random_id


class Scribe(Endpoint):
    def __init__(self, path: Path, seconds: float) -> None:
        self._file = path.open("a", buffering=1)
        self._seconds = seconds

    @rpc
    def write(self, context: RequestContext, number: int) -> None:
        time.sleep(self._seconds)
        self._file.write(f"{number}\n")


def main() -> None:
    url, topic, path, seconds = sys.argv[1:]
    transport = open_transport(url)
    transport.start()
    scribe = Scribe(Path(path), float(seconds))
    target = Target(topic, exchange="kilo-faults", server="scribe")
    RpcServer(transport, target, [scribe], new_id=random_id).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

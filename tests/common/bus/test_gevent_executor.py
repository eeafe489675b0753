"""The gevent executor, in a process that did not patch its standard library."""

import subprocess
import sys

PROGRAM = """
import gevent, threading
from kilo_common.bus.executors import open_executor
from kilo_common.bus.transport import Delivery

settled = []
def delivery(number):
    return Delivery(body=b"%d" % number, redelivered=False, headers={},
        ack=lambda: settled.append(number), requeue=lambda: settled.append(-number), reject=print)

seen = []
def handle(each):
    seen.append((threading.get_ident(), gevent.getcurrent()))
    gevent.sleep(0.01)
    each.ack()

executor = open_executor("gevent", handle, 2, "test")
executor.start()
executor.submit(delivery(1))
native = threading.Thread(target=lambda: [executor.submit(delivery(n)) for n in (2, 3)])
native.start()
gevent.sleep(0.1)
native.join()
assert sorted(settled) == [1, 2, 3], settled
assert {ident for ident, _ in seen} == {threading.get_ident()}
assert len({greenlet for _, greenlet in seen}) == 2
for number in (4, 5, 6): executor.submit(delivery(number))
gevent.sleep(0)
executor.stop(0)
assert settled[3:] == [-6], settled
executor.start()
executor.stop(1)
print("fine")
"""


def test_work_is_done_by_greenlets_of_the_starting_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "fine\n", done.stderr

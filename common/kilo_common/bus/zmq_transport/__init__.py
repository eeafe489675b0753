"""The brokerless driver, `zmq://`: processes talk to each other by ZeroMQ. The only package that
imports zmq.

`transport.py` is what others see. `loop.py` owns the sockets and runs `engine.py` in one thread (a
greenlet under gevent); `outbox.py`, `inbox.py` and `peers.py` are the engine's parts and do no I/O.
`keeper.py` talks to the matchmaker (`matchmaking/`), which knows who consumes what, and where.
"""

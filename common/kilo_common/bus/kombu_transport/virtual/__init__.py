"""Brokers that are none: kombu keeps its queues in Redis, in a database, in a folder. Experimental.

`redis://host:port/db` is the one to use in earnest: a message in the hands of a consumer that dies
comes again after `visibility` seconds (default 300), and fanout reaches whoever listens at that
moment. With `sqlalchemy+…://` and `filesystem://` a message dies with its consumer, and with
`sqlalchemy+…` fanout and pools reach only within one process. Nothing here is confirmed by a broker
or refused for want of a listener; expiry is checked by who consumes.
"""

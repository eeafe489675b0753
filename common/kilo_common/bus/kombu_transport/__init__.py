"""The AMQP driver: RabbitMQ by kombu. The only package that imports kombu.

One connection publishes, under a lock, each message confirmed by the broker; each consumer has a
connection and a thread of its own, so that no slow consumer holds up a heartbeat of another.
"""

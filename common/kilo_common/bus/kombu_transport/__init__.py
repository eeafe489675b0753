"""The AMQP driver: RabbitMQ and its like, by kombu and py-amqp. The only package that imports them.

One connection publishes and one consumes, since a broker that is short of memory stops reading from
those who publish. Each has a thread that reads and one that writes (`link.py`); everybody else puts
what is to be sent into an outbox and waits for word of it, so any number of publishes is under way.
"""

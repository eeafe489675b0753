"""A small client of the messaging service, over one WebSocket that mends itself.

    with MessagingClient("ws://127.0.0.1:8888", project="demo") as client:
        client.post("work", {"job": 1})
        for message in client.follow("work", cursor="start"):
            print(message.body, message.cursor)

It rests on nothing of the service's own.
"""

from kilo_messaging.client.client import Message, MessagingClient
from kilo_messaging.client.link import ClientFault, RequestRefused, ServiceUnreachable

__all__ = ["ClientFault", "Message", "MessagingClient", "RequestRefused", "ServiceUnreachable"]

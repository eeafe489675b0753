"""What the queue service says and hears on the bus."""

from kilo_common.bus.declarations import BusDeclaration, MessageDeclaration
from kilo_common.bus.target import Target
from kilo_messaging.service.push import PUSH_TOPIC, Bundle

EVENT_PRIORITIES = ("info", "warn", "error")
"""The priorities of notifications that are posted on their projects' topics."""
DECLARATION = BusDeclaration(
    "messaging",
    "The queue service: posts every notification on the topic of the project it concerns.",
    hears=EVENT_PRIORITIES,
    messages=(
        MessageDeclaration(
            Target(PUSH_TOPIC, fanout=True),
            "push",
            Bundle,
            "What was posted on topics, for subscribers that other processes hold.",
        ),
    ),
)

"""Fan-out: what is posted to one topic is posted to another."""

from kilo_common.errors import KiloError
from kilo_messaging.delivery.base import EXCERPT, Answer
from kilo_messaging.domain.delivery import Job
from kilo_messaging.domain.subscriber import OtherTopic, read_subscriber
from kilo_messaging.service.messages import MessageOperations


class TopicSender:
    """Posts to other topics. A repeated attempt posts nothing twice."""

    def __init__(self, messages: MessageOperations) -> None:
        self._messages = messages

    def send(self, job: Job) -> Answer:
        subscription = job.subscription
        place = read_subscriber(subscription.subscriber, subscription.key)
        assert isinstance(place, OtherTopic), "the dispatcher chose this sender by the subscriber"
        try:
            for each in job.deliveries:
                self._messages.forward(
                    subscription.key,
                    place.key,
                    each.notice,
                    once=f"forward.{subscription.id}.{each.notice.message_id}",
                )
        except KiloError as fault:
            return Answer(arrived=False, detail=fault.message[:EXCERPT])
        return Answer(arrived=True)

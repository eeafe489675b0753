"""Asking a subscriber whether it wants messages: the handshake of the Messaging API.

The question holds a signed URL; who answers it with `PUT {"confirmed": true}` is subscribed. It is
asked once; a client that subscribes the same subscriber again has it asked again.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from queue import Full, Queue

import msgspec

from kilo_common.clock import Clock, iso8601
from kilo_messaging.delivery.mail import MailSender
from kilo_messaging.delivery.webhook import WebhookSender
from kilo_messaging.domain.signed_url import SignedUrl
from kilo_messaging.domain.subscriber import Mailbox, Webhook, read_subscriber
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.service.sharing import GetKey

log = logging.getLogger(__name__)
WAITING = 1000
LIFE = timedelta(days=1)
ASKING, LEAVING = "SubscriptionConfirmation", "UnsubscribeConfirmation"
_ASKED = (
    "Messages of the queue {topic} of project {project} are to be sent here. Whoever wants them "
    "answers with PUT to WSGISubscribeURL, SubscribeBody as the body, and URL-Signature, "
    "URL-Methods, URL-Paths, URL-Expires and X-Project-ID as headers."
)
_LEFT = (
    "No more messages of the queue {topic} of project {project} are sent here. To get them again, "
    "answer with PUT to WSGISubscribeURL, SubscribeBody as the body, and URL-Signature, "
    "URL-Methods, URL-Paths, URL-Expires and X-Project-ID as headers."
)


class Confirmations:
    """Asks in a thread of its own."""

    def __init__(
        self,
        webhook: WebhookSender,
        mail: MailSender | None,
        get_key: GetKey,
        clock: Clock,
        new_id: Callable[[], str],
        base_url: str,
    ) -> None:
        """`base_url` is where subscribers reach the service."""
        self._webhook = webhook
        self._mail = mail
        self._get_key = get_key
        self._clock = clock
        self._new_id = new_id
        self._base_url = base_url
        self._line: Queue[tuple[Subscription, bool] | None] = Queue(WAITING)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._ask_all, name="confirmations", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ask no more."""
        self._put(None)
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def ask(self, subscription: Subscription, wanted: bool) -> None:
        """Put the question to the subscriber, or tell it that it has left. Returns at once."""
        if not self._put((subscription, wanted)):
            log.warning("subscription %s: too many wait to be asked", subscription.id)

    def document(self, subscription: Subscription, wanted: bool) -> dict[str, object]:
        """What the subscriber is sent."""
        key = subscription.key
        path = f"/v2/queues/{key.name}/subscriptions/{subscription.id}/confirm"
        signed = SignedUrl(
            project_id=key.project_id,
            paths=(path,),
            methods=("PUT",),
            expires=iso8601(self._clock.now() + LIFE),
        )
        text = _ASKED if wanted else _LEFT
        return {
            "Message_Type": ASKING if wanted else LEAVING,
            "Message": text.format(topic=key.name, project=key.project_id),
            "URL-Signature": signed.signature(self._get_key()),
            "URL-Methods": signed.methods,
            "URL-Paths": signed.paths,
            "X-Project-ID": key.project_id,
            "URL-Expires": signed.expires,
            "SubscribeBody": {"confirmed": True},
            "UnsubscribeBody": {"confirmed": False},
            "WSGISubscribeURL": self._base_url + path,
            "WebSocketSubscribeURL": f"ws{self._base_url.removeprefix('http')}/",
        }

    def _ask_all(self) -> None:
        while (item := self._line.get()) is not None:
            try:
                self._ask(*item)
            except Exception:  # a thread's edge: the others want to be asked too
                log.exception("subscription %s could not be asked", item[0].id)

    def _ask(self, subscription: Subscription, wanted: bool) -> None:
        body = msgspec.json.encode(self.document(subscription, wanted))
        place = read_subscriber(subscription.subscriber, subscription.key)
        if isinstance(place, Webhook):
            answer = self._webhook.send_text(subscription, self._new_id(), body)
        elif isinstance(place, Mailbox) and self._mail is not None:
            answer = self._mail.send_text(subscription, msgspec.json.format(body).decode())
        else:
            return
        if not answer.arrived:
            log.warning("subscription %s could not be asked: %s", subscription.id, answer.detail)

    def _put(self, item: tuple[Subscription, bool] | None) -> bool:
        try:
            self._line.put_nowait(item)
        except Full:
            return False
        return True

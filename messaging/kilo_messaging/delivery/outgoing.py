"""Puts together what delivers to subscribers."""

from typing import TYPE_CHECKING

import msgspec

from kilo_common.fetch.fetcher import Fetcher
from kilo_common.lifecycle import Service
from kilo_common.runtime import Runtime
from kilo_common.settings import AuthSettings
from kilo_messaging.config import MessagingSettings
from kilo_messaging.delivery.confirmation import Confirmations
from kilo_messaging.delivery.dispatcher import Dispatcher, Senders
from kilo_messaging.delivery.forward import TopicSender
from kilo_messaging.delivery.mail import MailSender
from kilo_messaging.delivery.webhook import WebhookSender
from kilo_messaging.domain.subscriber import Mailbox, OtherTopic, Webhook
from kilo_messaging.service.operations import Operations
from kilo_messaging.service.sharing import GetKey
from kilo_messaging.service.subscriber_rules import SubscriberRules
from kilo_messaging.service.subscriptions import Hooks
from kilo_messaging.service.wake_up import WakeUp

if TYPE_CHECKING:
    from kilo_common.identity.trusts import KeystoneTrusts


class KeptConnections:
    """Connections to subscribers, which end with the process's other parts."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def start(self) -> None:
        """Nothing: they are made when they are needed."""

    def stop(self, timeout: float) -> None:  # noqa: ARG002 - nothing to wait for
        """Close them."""
        self._fetcher.close()


class Outgoing:
    """Senders and what they need. First the rules and hooks for the operations, then the rest."""

    def __init__(self, settings: MessagingSettings, runtime: Runtime, get_key: GetKey) -> None:
        """
        Raises:
            ConfigInvalid: a network or a file with certificates is wrong.
        """
        deliveries, http = settings.deliveries, settings.http
        policy = msgspec.structs.replace(
            deliveries.fetch,
            connect_timeout=min(deliveries.fetch.connect_timeout, deliveries.timeout),
            total_timeout=deliveries.timeout,
        )
        fetcher = Fetcher(policy, runtime.executor, keep=deliveries.concurrency)
        self._connections = KeptConnections(fetcher)
        self._settings = deliveries
        self._clock = runtime.clock
        trusts = _trusts(runtime.auth_settings)
        self._webhook = WebhookSender(fetcher, runtime.clock, trusts)
        self._mail = MailSender(deliveries.mail, deliveries.timeout)
        self._confirmations = Confirmations(
            self._webhook,
            self._mail if deliveries.mail.host else None,
            get_key,
            runtime.clock,
            runtime.new_id,
            http.public_url or f"http://{http.host}:{http.port}",
        )
        self.wake = WakeUp()
        self.rules = SubscriberRules(
            check_url=fetcher.check,
            mail=bool(deliveries.mail.host),
            trusts=trusts,
            require_confirmation=deliveries.require_confirmation,
        )
        self.hooks = Hooks(ask=self._confirmations.ask, wake=self.wake.ring)

    def services(self, operations: Operations, *, deliver: bool) -> tuple[Service, ...]:
        """What runs beside the requests; the dispatcher only where this process delivers."""
        stores = operations.desk.stores
        if not deliver:
            return (self._connections, self._confirmations)
        senders: Senders = {
            Webhook: self._webhook,
            Mailbox: self._mail,
            OtherTopic: TopicSender(operations.messages),
        }
        dispatcher = Dispatcher(stores, senders, self._clock, self._settings)
        self.wake.to(dispatcher.wake)
        return (self._connections, self._confirmations, dispatcher)


def _trusts(settings: AuthSettings) -> "KeystoneTrusts | None":
    """Where users of this service may have trusts: in the Keystone that knows them."""
    if settings.strategy != "keystone":
        return None
    # A second of imports, which nobody needs who has no Keystone.
    from kilo_common.identity.trusts import KeystoneTrusts  # noqa: PLC0415

    return KeystoneTrusts(settings.keystone)

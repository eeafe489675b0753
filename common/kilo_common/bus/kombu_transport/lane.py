"""A channel that publishes to one exchange, and the account of what the broker has confirmed.

An exchange has a channel of its own because an error closes the channel: a fanout exchange that
went away with its last listener must not cost anybody else a confirmation.
"""

import threading
from typing import Any

from amqp import spec

from kilo_common.bus.kombu_transport.frames import method
from kilo_common.bus.kombu_transport.link import Link
from kilo_common.bus.kombu_transport.waiting import Fate, Publish


class Lane:
    """What both kinds of account have in common: the channel, and returned messages."""

    def __init__(self, link: Link, deadline: float) -> None:
        """Open the channel.

        Raises:
            one of BROKER_ERRORS.
        """
        self.open = True
        self.ready = True
        self._lock = threading.Lock()
        self._returnable: dict[str, Publish] = {}
        self._channel = link.channel(deadline, self._end)
        self._channel.events["basic_return"].add(self._on_return)
        self.number = self._channel.number

    def enter(self, publish: Publish) -> bool:
        """Take up a publish that is about to be written; see `outbox.Ledger`."""
        with self._lock:
            if not self.open:
                publish.settle(Fate.LOST)
                return False
            if publish.mandatory:
                self._returnable[publish.message_id] = publish
            self._account(publish)
            return True

    def close_batch(self) -> bytes:
        """What must follow the publishes entered since the last time; see `outbox.Ledger`."""
        return b""

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way; see `outbox.Ledger`."""
        return not self._outstanding()

    def _account(self, publish: Publish) -> None:
        raise NotImplementedError

    def _outstanding(self) -> list[Publish]:
        raise NotImplementedError

    def _settle(self, publish: Publish, fate: Fate) -> None:
        if publish.mandatory:
            self._returnable.pop(publish.message_id, None)
        publish.settle(fate)

    def _on_return(self, _fault: Any, _exchange: str, _key: str, message: Any) -> None:
        # It comes before the confirmation of the same message, but not right before it.
        publish = self._returnable.get(message.properties.get("message_id", ""))
        if publish is not None:
            publish.unroutable = True

    def _end(self, _fault: Exception) -> None:
        with self._lock:
            self.open = False
            lost = self._outstanding()
        for publish in lost:
            publish.settle(Fate.LOST)


class ConfirmLane(Lane):
    """Publisher confirms: the broker names the tags it has, one by one or all up to one."""

    def __init__(self, link: Link, deadline: float) -> None:
        # First: the link may end while the channel is opened, and asks what is under way.
        self._tags: dict[int, Publish] = {}
        self._next = self._lowest = 1
        super().__init__(link, deadline)
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.confirm_select()

    def _account(self, publish: Publish) -> None:
        self._tags[self._next] = publish
        self._next += 1

    @property
    def quiet(self) -> bool:
        return not self._tags

    def _outstanding(self) -> list[Publish]:
        return list(self._tags.values())

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._take(tag, multiple, Fate.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._take(tag, multiple, Fate.REFUSED)

    def _take(self, tag: int, multiple: bool, fate: Fate) -> None:
        if multiple:
            settled, self._lowest = range(self._lowest, tag + 1), tag + 1
        else:
            settled = range(tag, tag + 1)
        for each in settled:
            publish = self._tags.pop(each, None)
            if publish is not None:
                self._settle(publish, fate)


class CommitLane(Lane):
    """Transactions: what is written together is committed together, one commit at a time."""

    def __init__(self, link: Link, deadline: float) -> None:
        self._outbox = link.outbox
        self._batch: list[Publish] = []  # before the channel, as in the other
        super().__init__(link, deadline)
        self._channel.tx_select()
        self._channel.listen(spec.Tx.CommitOk, self._on_commit)

    def close_batch(self) -> bytes:
        self.ready = False
        return method(self.number, spec.Tx.Commit)

    def _account(self, publish: Publish) -> None:
        self._batch.append(publish)

    def _outstanding(self) -> list[Publish]:
        return self._batch

    def _on_commit(self) -> None:
        with self._lock:
            batch, self._batch = self._batch, []
        self.ready = True
        self._outbox.poke()
        for publish in batch:
            self._settle(publish, Fate.CONFIRMED)

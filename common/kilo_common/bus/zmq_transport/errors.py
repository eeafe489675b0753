"""What can go wrong with zmq:// beside the errors of every driver.

KiloError
└── TooLarge
    └── MessageTooLarge   more bytes than one message may have
"""

from kilo_common.errors import TooLarge


class MessageTooLarge(TooLarge):
    code = "bus.zmq.message_too_large"

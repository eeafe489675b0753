"""The configuration of the queue service, documented field by field."""

from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section
from kilo_common.settings import DatabaseSettings, HttpSettings


class LimitSettings(Section, frozen=True):
    """How much of everything a client may ask for."""

    page: Annotated[
        int, Meta(description="Topics or messages in one answer, claimed or popped at once.", ge=1)
    ] = 20
    default_page: Annotated[
        int, Meta(description="How many a client gets who does not say.", ge=1)
    ] = 10
    metadata: Annotated[int, Meta(description="Bytes of a topic's metadata.", ge=2)] = 65536
    post: Annotated[int, Meta(description="Bytes of one request that posts messages.", ge=64)] = (
        262144
    )
    min_ttl: Annotated[int, Meta(description="Seconds a message lives at least.", ge=1)] = 60
    max_ttl: Annotated[int, Meta(description="Seconds a message lives at most.", ge=1)] = 1209600
    default_ttl: Annotated[
        int, Meta(description="Seconds a message lives where neither it nor its topic says.", ge=1)
    ] = 3600
    max_delay: Annotated[
        int, Meta(description="Seconds a message may be held back before it is seen.", ge=0)
    ] = 900
    min_claim: Annotated[int, Meta(description="Seconds a claim lasts at least.", ge=1)] = 60
    max_claim: Annotated[int, Meta(description="Seconds a claim lasts at most.", ge=1)] = 43200
    default_claim: Annotated[
        int, Meta(description="Seconds a claim lasts where the client does not say.", ge=1)
    ] = 300
    min_grace: Annotated[int, Meta(description="Seconds of grace at least.", ge=0)] = 60
    max_grace: Annotated[int, Meta(description="Seconds of grace at most.", ge=0)] = 43200
    default_grace: Annotated[
        int,
        Meta(
            description="Seconds that a claimed message outlives its claim where the client "
            "does not say.",
            ge=0,
        ),
    ] = 60
    max_wait: Annotated[
        int, Meta(description="Seconds that a claim or a list may wait for messages.", ge=0, le=60)
    ] = 20
    deduplication_window: Annotated[
        int,
        Meta(
            description="Seconds in which a message with the same deduplication id is not "
            "posted again.",
            ge=1,
        ),
    ] = 300
    client_id_uuid: Annotated[
        bool, Meta(description="Client-ID must be a UUID; else any text of 10 to 36 characters.")
    ] = True


class WebSocketSettings(Section, frozen=True):
    """Bounds of one WebSocket connection."""

    max_frame: Annotated[
        int, Meta(description="Bytes of one request; a longer one closes the connection.", ge=1024)
    ] = 327680
    send_queue: Annotated[
        int,
        Meta(
            description="Frames that wait for a slow client; one more closes the connection.", ge=1
        ),
    ] = 1000
    send_queue_bytes: Annotated[
        int, Meta(description="Bytes that wait for a slow client at most.", ge=65536)
    ] = 8388608
    ping_interval: Annotated[
        float, Meta(description="Seconds of silence after which we ping.", gt=0)
    ] = 30.0
    idle_limit: Annotated[
        float,
        Meta(description="Seconds without a frame, pongs included, that end a connection.", gt=0),
    ] = 90.0
    max_subscriptions: Annotated[
        int, Meta(description="Subscriptions of one connection at most.", ge=1)
    ] = 100
    echo_limit: Annotated[
        int,
        Meta(description="Bytes of a request that are repeated in its answer at most.", ge=0),
    ] = 4096


class EventSettings(Section, frozen=True):
    """Events of other services as messages on a topic."""

    enabled: Annotated[
        bool, Meta(description="Post what is announced on the bus to the project's topic.")
    ] = True
    topic: Annotated[str, Meta(description="The topic of those messages.")] = "catalog.events"
    window: Annotated[
        int,
        Meta(description="Seconds in which an event that comes again is not posted again.", ge=60),
    ] = 86400


class SignedUrlSettings(Section, frozen=True):
    """Pre-signed URLs."""

    key: Annotated[
        str,
        Meta(
            description="The secret they are signed with, of 16 characters at least; the same for "
            "all processes. Empty: the one in key_file.",
            pattern="^(.{16,})?$",
        ),
    ] = ""
    key_file: Annotated[
        str,
        Meta(description="A file with a secret, in hexadecimal; made when it is first needed."),
    ] = "{state_dir}/messaging.key"


class MessagingSettings(Section, frozen=True):
    """The queue and notification service."""

    http: Annotated[HttpSettings, Meta(description="The listener of HTTP and WebSocket.")] = (
        HttpSettings(port=8888)
    )
    websocket_port: Annotated[
        int,
        Meta(
            description="A second port for WebSocket clients that expect their own; 0 for none.",
            ge=0,
            le=65535,
        ),
    ] = 9000
    database: Annotated[DatabaseSettings, Meta(description="Where messages are kept.")] = (
        DatabaseSettings(url="sqlite:///{state_dir}/messaging.db")
    )
    limits: Annotated[LimitSettings, Meta(description="What a client may ask for.")] = (
        LimitSettings()
    )
    websocket: Annotated[WebSocketSettings, Meta(description="WebSocket connections.")] = (
        WebSocketSettings()
    )
    events: Annotated[EventSettings, Meta(description="Events as messages.")] = EventSettings()
    signed_urls: Annotated[SignedUrlSettings, Meta(description="Pre-signed URLs.")] = (
        SignedUrlSettings()
    )
    sweep_interval: Annotated[
        float, Meta(description="Seconds between two removals of what has expired.", gt=0)
    ] = 1.0
    policy_file: Annotated[
        str, Meta(description="A YAML file with rules that replace the built-in ones.")
    ] = ""

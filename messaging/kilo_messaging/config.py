"""The configuration of the queue service, documented field by field."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kilo_common.config import Section
from kilo_common.fetch.policy import FetchPolicy
from kilo_common.settings import DatabaseSettings, HttpSettings
from kilo_messaging.domain.retry_policy import DEFAULT_POLICY, RetryPolicy


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


class RateSettings(Section, frozen=True):
    """How much one project may ask for; each process counts for itself."""

    requests: Annotated[
        float, Meta(description="Requests of one project in a second; 0: no limit.", ge=0)
    ] = 0.0
    burst: Annotated[
        int, Meta(description="So many at once, after a rest; then the rate holds.", ge=1)
    ] = 100


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
    stall_limit: Annotated[
        float,
        Meta(
            description="Seconds that half of the queue may be full; until then the client's "
            "requests are not read, afterwards it is disconnected.",
            gt=0,
        ),
    ] = 30.0
    auth_interval: Annotated[
        float,
        Meta(
            description="Seconds after which the credentials of a connection are looked at again; "
            "where they have ended, so does the connection.",
            gt=0,
        ),
    ] = 10.0
    max_subscriptions: Annotated[
        int, Meta(description="Subscriptions of one connection at most.", ge=1)
    ] = 100
    max_waiting: Annotated[
        int,
        Meta(
            description="Requests of one connection that wait for messages at most while others "
            "go on; with one more, those behind it wait too.",
            ge=0,
        ),
    ] = 100
    deflate: Annotated[
        bool,
        Meta(
            description="Compress messages for clients that offer it (RFC 7692). It costs each "
            "connection up to 300 KiB of memory."
        ),
    ] = False
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


class PoolSettings(Section, frozen=True):
    """Stores beside the main one, which operators add while the service runs."""

    main_weight: Annotated[
        int,
        Meta(
            description="How many of the new topics the main database gets, compared with the "
            "weights of pools; with 0 none, as soon as there is a pool that takes them.",
            ge=0,
            le=2**32 - 1,
        ),
    ] = 0
    move_wait: Annotated[
        float,
        Meta(description="Seconds that a request waits for a topic that is being moved.", ge=0),
    ] = 10.0


class EncryptionSettings(Section, frozen=True):
    """Encryption at rest, for topics that ask for it (`_enable_encrypt_messages`)."""

    keys: Annotated[
        dict[str, str],
        Meta(
            description="Keys by name, each 32 random bytes in base64 (openssl rand -base64 32). "
            "One stays as long as there are messages encrypted with it."
        ),
    ] = msgspec.field(default_factory=dict)
    active: Annotated[
        str, Meta(description="The name of the key to encrypt with. Empty: topics cannot ask.")
    ] = ""


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


class MailSettings(Section, frozen=True):
    """The mail server that `mailto:` subscriptions are written through."""

    host: Annotated[
        str, Meta(description="Its name. Empty: subscriptions to mail addresses are refused.")
    ] = ""
    port: Annotated[int, Meta(description="Its port.", ge=1, le=65535)] = 25
    starttls: Annotated[bool, Meta(description="Encrypt the connection.")] = False
    username: Annotated[str, Meta(description="Empty: no sign-in.")] = ""
    password: Annotated[str, Meta(description="The user's password.")] = ""
    sender: Annotated[
        str, Meta(description="Who the mails come from, where a subscription does not say.")
    ] = "kilostack@localhost"


class DeliverySettings(Section, frozen=True):
    """How what is posted gets to subscribers."""

    enabled: Annotated[
        bool,
        Meta(description="Deliver in this process. `kilostack serve notifier` always does."),
    ] = True
    concurrency: Annotated[int, Meta(description="Attempts at the same time.", ge=1, le=1000)] = 64
    each: Annotated[
        int,
        Meta(
            description="Attempts for one subscription at the same time, so that a slow one "
            "holds up no other.",
            ge=1,
        ),
    ] = 8
    timeout: Annotated[float, Meta(description="Seconds that one attempt may take.", gt=0)] = 10.0
    lease: Annotated[
        float,
        Meta(
            description="Seconds after which what a dead process had in hand is delivered by "
            "another; longer than `timeout`.",
            gt=0,
        ),
    ] = 60.0
    poll: Annotated[
        float,
        Meta(description="Seconds after which we look again without having been woken.", gt=0),
    ] = 1.0
    log_retention: Annotated[
        int, Meta(description="Seconds for which attempts are kept in the log.", ge=60)
    ] = 604800
    require_confirmation: Annotated[
        bool, Meta(description="Webhooks and mail addresses must agree before they get messages.")
    ] = False
    retry: Annotated[
        RetryPolicy,
        Meta(description="When a failed attempt is repeated, unless topic or subscription say."),
    ] = DEFAULT_POLICY
    fetch: Annotated[
        FetchPolicy, Meta(description="Which URLs subscribers may have; an empty `ports` is all.")
    ] = FetchPolicy(ports=(), max_redirects=0)
    mail: Annotated[MailSettings, Meta(description="Mail.")] = MailSettings()


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
    database: Annotated[
        DatabaseSettings,
        Meta(
            description="Where messages are kept. Beside an SQLAlchemy URL, redis://HOST:PORT/DB, "
            "rediss://… or redis+cluster://HOST:PORT,HOST:PORT; see messaging/README.md for what "
            "the Redis server must be set to."
        ),
    ] = DatabaseSettings(url="sqlite:///{state_dir}/messaging.db")
    durable: Annotated[
        bool,
        Meta(
            description="Refuse to start on a Redis that would lose acknowledged messages at a "
            "crash. With --ephemeral, or false here, there is only a warning."
        ),
    ] = True
    test_clock: Annotated[
        bool,
        Meta(
            description="Let tests move the service's clock (`POST /v2/_test/clock`); only where "
            "messages may be lost. With --ephemeral it is true."
        ),
    ] = False
    limits: Annotated[LimitSettings, Meta(description="What a client may ask for.")] = (
        LimitSettings()
    )
    rate: Annotated[RateSettings, Meta(description="Requests of one project.")] = RateSettings()
    websocket: Annotated[WebSocketSettings, Meta(description="WebSocket connections.")] = (
        WebSocketSettings()
    )
    pools: Annotated[PoolSettings, Meta(description="Stores beside the database.")] = PoolSettings()
    events: Annotated[EventSettings, Meta(description="Events as messages.")] = EventSettings()
    encryption: Annotated[EncryptionSettings, Meta(description="Encryption at rest.")] = (
        EncryptionSettings()
    )
    signed_urls: Annotated[SignedUrlSettings, Meta(description="Pre-signed URLs.")] = (
        SignedUrlSettings()
    )
    deliveries: Annotated[DeliverySettings, Meta(description="Deliveries to subscribers.")] = (
        DeliverySettings()
    )
    sweep_interval: Annotated[
        float, Meta(description="Seconds between two removals of what has expired.", gt=0)
    ] = 1.0
    policy_file: Annotated[
        str, Meta(description="A YAML file with rules that replace the built-in ones.")
    ] = ""

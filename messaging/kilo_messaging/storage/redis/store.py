"""Opening the Redis store."""

from kilo_common.settings import DatabaseSettings
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.redis.claims import RedisClaims
from kilo_messaging.storage.redis.deliveries import RedisDeliveries
from kilo_messaging.storage.redis.delivery_plans import DeliveryPlans
from kilo_messaging.storage.redis.durability import check_durable
from kilo_messaging.storage.redis.keys import Keys
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.messages import RedisMessages
from kilo_messaging.storage.redis.placements import RedisPlacements
from kilo_messaging.storage.redis.subscriptions import RedisSubscriptions, Subscribed
from kilo_messaging.storage.redis.topics import KnownTopics, RedisTopics
from kilo_messaging.storage.redis.transit import Transit
from kilo_messaging.storage.redis.url import read_url


def open_redis_store(settings: DatabaseSettings, *, durable: bool) -> Stores:
    """The store in the Redis at `settings.url`.

    Raises:
        ConfigInvalid: the URL is wrong, or the server would lose what it acknowledges and `durable`
            forbids that.
        StoreUnavailable: no answer.
    """
    url = read_url(settings.url)
    link = RedisLink(url, pool_size=settings.pool_size, timeout=settings.busy_timeout)
    try:
        check_durable(link, required=durable)
    except BaseException:
        link.close()
        raise
    keys = Keys(url.prefix)
    topics = RedisTopics(link, keys, KnownTopics())
    subscribed = Subscribed(link, keys)
    plans = DeliveryPlans(link, keys)
    transit = Transit(link, keys, topics)

    def check() -> None:
        link.command("ZCARD", keys.sweeps)

    return Stores(
        topics=topics,
        messages=RedisMessages(link, keys, topics, transit, subscribed, plans),
        claims=RedisClaims(link, keys, transit),
        check=check,
        bring=transit.bring_all,
        close=link.close,
        subscriptions=RedisSubscriptions(link, keys, topics, plans),
        deliveries=RedisDeliveries(link, keys, topics, plans),
        placements=RedisPlacements(link, keys),
    )

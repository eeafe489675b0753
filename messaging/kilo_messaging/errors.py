"""What can go wrong in the queue service.

InvalidInput
├── NameInvalid            a topic's name has a wrong character or length
├── MetadataInvalid        a topic's metadata is not an object, or a reserved key has a wrong value
├── PatchInvalid           a change of metadata is not in the form that is read here
├── LimitExceeded          a number is outside its range
├── BodyInvalid            the body is not the JSON document that was expected
├── ParameterInvalid       a parameter of the URL, or of a WebSocket request, does not fit
├── FormRefused            an HTML form was sent
├── ClientIdMissing        the header Client-ID is missing
├── ClientIdInvalid        the header Client-ID is not a UUID
├── ProjectInvalid         the project's name cannot be one
├── SubscriptionInvalid    a subscriber or an option of a subscription does not fit
├── CursorInvalid          a cursor is not one that came from here
├── PriorityRefused        a message has a priority on a topic that knows none
├── FlavorUnknown          a topic asks for a flavor that there is not
├── PoolInvalid            a pool or a flavor cannot be as it was given
├── ClaimInvalid           the claim given for a deletion is not a live one, or holds nothing here
└── ActionUnknown          a WebSocket request names no action
UnsupportedMedia
└── PatchMediaUnsupported  PATCH with another media type
Forbidden
└── MessageClaimed         somebody else holds the message
NotFound
├── PathNotFound, MessageNotFound, ClaimNotFound, SubscriptionNotFound, DeliveryNotFound
├── PoolNotFound, FlavorNotFound, TopicNotFound
└── SignatureInvalid       a signed URL is not what was signed, has expired, or covers less
Conflict
├── SubscriptionExists     the topic has a subscription of that subscriber
├── PoolInUse              topics lie on a pool that is to go
├── MoveRefused            a topic cannot be moved as things are
├── ForwardRefused         a topic does not take what a subscription brings
├── SubscriptionStateConflict  a subscription cannot go from its state to the one wanted
├── PatchConflict          replace or remove of a key that is not there
└── OrderingFixed          a topic's ordering is not the one it was made with
MethodNotAllowed
└── MethodRefused
NotAcceptable
└── OnlyJson
TooManyRequests
└── RateExceeded           a project asks for more than it may in a second
Unavailable
├── TopicMoving            a topic is on its way from one pool to another
└── SubscriptionsUnavailable  this deployment cannot have such a subscription
"""

from kilo_common.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    TooManyRequests,
    Unavailable,
    UnsupportedMedia,
)


class NameInvalid(InvalidInput):
    code = "messaging.topic.name_invalid"


class MetadataInvalid(InvalidInput):
    code = "messaging.topic.metadata_invalid"


class PatchInvalid(InvalidInput):
    code = "messaging.topic.patch_invalid"


class LimitExceeded(InvalidInput):
    code = "messaging.limit_exceeded"


class BodyInvalid(InvalidInput):
    code = "messaging.request.body_invalid"


class ParameterInvalid(InvalidInput):
    code = "messaging.request.parameter_invalid"


class CursorInvalid(InvalidInput):
    code = "messaging.cursor.invalid"


class FormRefused(InvalidInput):
    code = "messaging.request.form_refused"


class ClientIdMissing(InvalidInput):
    code = "messaging.client_id.missing"


class ClientIdInvalid(InvalidInput):
    code = "messaging.client_id.invalid"


class ProjectInvalid(InvalidInput):
    code = "messaging.project_invalid"


class ClaimInvalid(InvalidInput):
    code = "messaging.claim.invalid"


class SubscriptionInvalid(InvalidInput):
    code = "messaging.subscription.invalid"


class PriorityRefused(InvalidInput):
    code = "messaging.message.priority_refused"


class ActionUnknown(InvalidInput):
    code = "messaging.request.action_unknown"


class PatchMediaUnsupported(UnsupportedMedia):
    code = "messaging.topic.patch_media_unsupported"


class MessageClaimed(Forbidden):
    code = "messaging.message.claimed"


class PathNotFound(NotFound):
    code = "messaging.path.not_found"


class MessageNotFound(NotFound):
    code = "messaging.message.not_found"


class ClaimNotFound(NotFound):
    code = "messaging.claim.not_found"


class SubscriptionNotFound(NotFound):
    code = "messaging.subscription.not_found"


class DeliveryNotFound(NotFound):
    code = "messaging.delivery.not_found"


class SignatureInvalid(NotFound):
    code = "messaging.signature_invalid"


class SubscriptionExists(Conflict):
    code = "messaging.subscription.exists"


class SubscriptionStateConflict(Conflict):
    code = "messaging.subscription.state_conflict"


class ForwardRefused(Conflict):
    code = "messaging.forward_refused"


class PatchConflict(Conflict):
    code = "messaging.topic.patch_conflict"


class OrderingFixed(Conflict):
    code = "messaging.topic.ordering_fixed"


class MethodRefused(MethodNotAllowed):
    code = "messaging.method_refused"


class OnlyJson(NotAcceptable):
    code = "messaging.only_json"


class SubscriptionsUnavailable(Unavailable):
    code = "messaging.subscription.unavailable"


class FlavorUnknown(InvalidInput):
    code = "messaging.flavor.unknown"


class PoolInvalid(InvalidInput):
    code = "messaging.pool.invalid"


class PoolNotFound(NotFound):
    code = "messaging.pool.not_found"


class FlavorNotFound(NotFound):
    code = "messaging.flavor.not_found"


class TopicNotFound(NotFound):
    code = "messaging.topic.not_found"


class PoolInUse(Conflict):
    code = "messaging.pool.in_use"


class MoveRefused(Conflict):
    code = "messaging.topic.move_refused"


class TopicMoving(Unavailable):
    code = "messaging.topic.moving"


class RateExceeded(TooManyRequests):
    code = "messaging.rate_exceeded"

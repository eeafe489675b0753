"""The one table that says which HTTP status an error has."""

from http import HTTPStatus

from kilo_common import errors

STATUS: dict[type[errors.KiloError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Failure: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.KiloError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: errors.KiloError) -> HTTPStatus:
    """The status of `error`: that of the nearest branch above it."""
    return next(STATUS[branch] for branch in type(error).__mro__ if branch in STATUS)

"""Errors as bodies, in one place for every transport: `{"title", "description", "code"}`."""

from http import HTTPStatus

import msgspec

from kilo_common import errors as common
from kilo_common.http.body import BodyTruncated, JsonInvalid
from kilo_messaging import errors

TITLES: dict[type[common.KiloError], str] = {
    errors.NameInvalid: "Invalid queue identification",
    errors.BodyInvalid: "Invalid request body",
    errors.MetadataInvalid: "Invalid request body",
    errors.PatchInvalid: "Invalid request body",
    JsonInvalid: "Invalid request body",
    BodyTruncated: "Invalid request body",
    errors.ParameterInvalid: "Invalid parameter",
    errors.FormRefused: "Invalid Content-Type",
    errors.ClientIdMissing: "Missing header value",
    errors.ClientIdInvalid: "Wrong UUID value",
    common.UnsupportedMedia: "Unsupported media type",
    common.InvalidInput: "Invalid API request",
    common.Unauthenticated: "Authentication required",
    common.Forbidden: "Not authorized",
    common.NotFound: "Not found",
    common.MethodNotAllowed: "Method not allowed",
    common.NotAcceptable: "Not acceptable",
    common.Conflict: "Resource conflict",
    common.TooManyRequests: "Too many requests",
    common.Unavailable: "Service temporarily unavailable",
    common.KiloError: "Internal server error",
}


def title_of(error: common.KiloError) -> str:
    """The title of the nearest class above the error that has one."""
    return next(TITLES[branch] for branch in type(error).__mro__ if branch in TITLES)


def error_body(error: common.KiloError, _status: HTTPStatus) -> tuple[bytes, str]:
    """An error as the HTTP API writes it, with its content type."""
    body = {"title": title_of(error), "description": error.message, "code": error.code}
    return msgspec.json.encode(body), "application/json"


def answer_body(error: common.KiloError) -> dict[str, str]:
    """An error as a WebSocket answer carries it."""
    return {"error": error.message, "title": title_of(error), "code": error.code}

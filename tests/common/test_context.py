"""The request context: its way through an envelope, and the trace it carries."""

from kilo_common.context import RequestContext, continue_trace, new_traceparent


def test_a_context_survives_the_envelope_in_the_same_trace() -> None:
    context = RequestContext(project_id="p", user_id="u", roles=("member",))
    arrived = RequestContext.from_dict(context.to_dict() | {"unknown": 1})
    assert (arrived.project_id, arrived.roles) == ("p", ("member",))
    assert arrived.request_id == context.request_id
    assert arrived.traceparent.split("-")[1] == context.traceparent.split("-")[1]
    assert arrived.traceparent != context.traceparent


def test_a_traceparent_that_is_not_valid_starts_a_new_trace() -> None:
    for bad in (None, "", "00-0-0-0", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", 5):
        assert continue_trace(bad).count("-") == 3
    assert new_traceparent() != new_traceparent()

"""The dialect as data: no network here."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech.chat import ReplyReader, error_of, request_body
from trunkline.speech.errors import (
    LanguageModelError,
    ReplyBroken,
    RequestRefused,
    TemporaryFailure,
)
from trunkline.speech.interfaces import (
    Finished,
    Message,
    Piece,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)


def delta(content: dict[str, Any] | None = None, reason: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": content or {}, "finish_reason": reason}]})


def call(function: dict[str, Any] | None = None, **more: Any) -> str:
    return delta({"tool_calls": [{"function": function or {}, **more}]})


def read(*data: str) -> list[Piece]:
    reader = ReplyReader()
    pieces = [piece for one in data for piece in reader.feed(one)]
    return [*pieces, *reader.finish()]


def test_a_request_carries_messages_tools_and_options() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", "Is it ready?", confidence=0.5),
        Message("assistant", "", tool_calls=(ToolCall("c1", "status", '{"ticket": 1}'),)),
        Message("tool", "yes", tool_call_id="c1"),
    ]
    schema = {"type": "object", "properties": {"ticket": {"type": "integer"}}}
    tools = [ToolSpec("status", "Look it up.", schema), ToolSpec("hang_up", "End the call.")]
    assert request_body("tiny", messages, tools, {"temperature": 0.2}) == {
        "model": "tiny",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is it ready?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "status", "arguments": '{"ticket": 1}'},
                    }
                ],
            },
            {"role": "tool", "content": "yes", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "status",
                    "description": "Look it up.",
                    "parameters": schema,
                },
            },
            {
                "type": "function",
                "function": {
                    "name": "hang_up",
                    "description": "End the call.",
                    "parameters": {"type": "object", "properties": {}},
                },
            },
        ],
    }


def test_a_request_without_tools_names_none() -> None:
    assert "tools" not in request_body("tiny", [Message("user", "Hi")], [], {})


def test_text_comes_piece_by_piece_and_then_its_end() -> None:
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert read(
        delta({"role": "assistant", "content": ""}),
        delta({"content": "Good "}),
        delta({"content": "day"}),
        delta(reason="stop"),
        usage,
        "[DONE]",
    ) == [TextDelta("Good "), TextDelta("day"), Finished("stop", Usage(3, 2))]


def test_tool_calls_are_put_together_by_index() -> None:
    assert read(
        call({"name": "a", "arguments": ""}, index=0, id="x"),
        call({"name": "b", "arguments": '{"n'}, index=1, id="y"),
        call({"arguments": '{"m": 1}'}, index=0),
        call({"arguments": '": 2}'}, index=1),
        delta(reason="tool_calls"),
    ) == [
        ToolCall("x", "a", '{"m": 1}'),
        ToolCall("y", "b", '{"n": 2}'),
        Finished("tool_calls"),
    ]


def test_calls_without_index_that_come_whole_are_told_apart_by_their_ids() -> None:
    assert read(
        call({"name": "a", "arguments": "{}"}, id="x"),
        call({"name": "b", "arguments": "{}"}, id="y"),
        delta(reason="stop"),
    ) == [ToolCall("x", "a", "{}"), ToolCall("y", "b", "{}"), Finished("tool_calls")]


def test_calls_without_index_and_id_continue_the_last() -> None:
    assert read(
        call({"name": "a", "arguments": '{"x":'}), call({"arguments": "1}"}), delta(reason="stop")
    ) == [ToolCall("call_0", "a", '{"x":1}'), Finished("tool_calls")]


def test_arguments_as_an_object_become_text() -> None:
    assert read(call({"name": "a", "arguments": {"x": 1}}, index=0), delta(reason="stop")) == [
        ToolCall("call_0", "a", '{"x": 1}'),
        Finished("tool_calls"),
    ]


def test_a_name_repeated_in_every_fragment_stays_one_name() -> None:
    pieces = read(
        call({"name": "status", "arguments": "{"}, index=0, id="x"),
        call({"name": "status", "arguments": "}"}, index=0, id="x"),
        delta(reason="tool_calls"),
    )
    assert pieces[0] == ToolCall("x", "status", "{}")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert read(call({"name": "hang_up"}, index=0, id="x"), delta(reason="stop"))[0] == ToolCall(
        "x", "hang_up", "{}"
    )


def test_reasoning_is_not_said() -> None:
    reader = ReplyReader()
    assert list(reader.feed(delta({"reasoning_content": "Hmm", "reasoning": "so"}))) == []
    assert reader.progress == 0
    assert list(reader.feed(delta({"content": "Yes."}))) == [TextDelta("Yes.")]
    assert (reader.progress, reader.text) == (1, "Yes.")


def test_a_refusal_is_said_and_named() -> None:
    assert read(delta({"refusal": "I cannot."}), delta(reason="stop")) == [
        TextDelta("I cannot."),
        Finished("refusal"),
    ]


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
def test_finish_reasons_pass(reason: str) -> None:
    assert read(delta({"content": "x"}), delta(reason=reason))[-1] == Finished(reason)


def test_a_done_mark_ends_a_reply_whose_server_gives_no_reason() -> None:
    assert read(delta({"content": "x"}), "[DONE]")[-1] == Finished("stop")


def test_a_reply_without_end_is_broken() -> None:
    reader = ReplyReader()
    list(reader.feed(delta({"content": "half a"})))
    with pytest.raises(ReplyBroken):
        list(reader.finish())
    assert reader.text == "half a"


def test_an_empty_reply_is_broken_unless_the_model_chose_it() -> None:
    with pytest.raises(ReplyBroken):
        read("[DONE]")
    assert read(delta(reason="stop"), "[DONE]") == [Finished("stop")]


def test_a_whole_reply_reads_like_a_streamed_one() -> None:
    reader = ReplyReader()
    message = {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [{"id": "x", "function": {"name": "a", "arguments": "{}"}}],
    }
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    pieces = list(reader.whole(json.dumps({"choices": choices, "usage": usage})))
    assert [*pieces, *reader.finish()] == [
        TextDelta("Let me see."),
        ToolCall("x", "a", "{}"),
        Finished("tool_calls", Usage(1, 2)),
    ]


def test_only_the_first_choice_is_the_reply() -> None:
    other = json.dumps({"choices": [{"index": 1, "delta": {"content": "no"}}]})
    assert read(other, delta({"content": "yes"}), delta(reason="stop"))[0] == TextDelta("yes")


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "[" * 100_000,
        '{"choices": [{"delta": {"tool_calls": [7]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 9999}]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": -1}]}}]}',
    ],
)
def test_what_cannot_be_read_is_a_broken_reply(data: str) -> None:
    with pytest.raises(ReplyBroken):
        read(data, "[DONE]")


def test_a_call_without_a_name_is_a_broken_reply() -> None:
    with pytest.raises(ReplyBroken):
        read(call({"arguments": "{}"}, index=0), delta(reason="tool_calls"))


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        '{"choices": null}',
        '{"choices": [null]}',
        '{"choices": [{"delta": null}]}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": {"tool_calls": null}}]}',
        '{"choices": [], "usage": {"prompt_tokens": null}}',
        '{"object": "gateway.status", "message": "queued"}',
    ],
)
def test_odd_but_harmless_events_are_passed_over(data: str) -> None:
    assert read(data, delta({"content": "x"}), delta(reason="stop")) == [
        TextDelta("x"),
        Finished("stop"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "tool_calls", "index", "id", "function", "name",
                 "arguments", "error", "usage", "finish_reason", "refusal"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(JSON, max_size=4))
def test_any_json_is_read_or_refused(values: list[object]) -> None:
    try:
        pieces = read(*(json.dumps(value) for value in values), "[DONE]")
    except LanguageModelError:
        return
    assert isinstance(pieces[-1], Finished)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6))
def test_text_survives_the_round_trip(parts: list[str]) -> None:
    pieces = read(*(delta({"content": part}) for part in parts), delta(reason="stop"))
    assert [piece.text for piece in pieces if isinstance(piece, TextDelta)] == parts


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, RequestRefused),
        (401, "invalid_api_key", RequestRefused),
        (404, "model_not_found", RequestRefused),
        (422, None, RequestRefused),
        (429, "rate_limit_exceeded", TemporaryFailure),
        (429, "insufficient_quota", RequestRefused),
        (408, None, TemporaryFailure),
        (500, None, TemporaryFailure),
        (503, None, TemporaryFailure),
        (None, None, TemporaryFailure),
        (None, 400, RequestRefused),
        (None, 503, TemporaryFailure),
    ],
)
def test_errors_are_permanent_or_not_by_status_and_code(
    status: int | None, code: object, kind: type[Exception]
) -> None:
    error = error_of({"error": {"message": "Such is life.", "code": code}}, status)
    assert type(error) is kind
    assert "Such is life." in str(error)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<html>Bad\n\n Gateway</html>", "Bad Gateway"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error": "model is loading"}, "model is loading"),
        ({"message": "no such route"}, "no such route"),
        ({"error": {"message": ["odd"]}}, "odd"),
        ("", "no reason"),
    ],
)
def test_errors_say_what_the_server_said(body: object, told: str) -> None:
    assert told in str(error_of(body, 502))


def test_an_error_is_not_longer_than_a_log_line() -> None:
    assert len(str(error_of("x" * 10_000, 500))) < 400


def test_an_error_in_the_stream_is_raised() -> None:
    with pytest.raises(TemporaryFailure, match="overloaded"):
        read(delta({"content": "I"}), '{"error": {"message": "overloaded"}}')

from trunkline.agent.dialogue import UNFINISHED, Dialogue
from trunkline.speech import Message, ToolCall

CALL = ToolCall("c1", "look", "{}")


def texts(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in dialogue.messages]


def asked(text: str = "when do you open") -> Dialogue:
    dialogue = Dialogue("Be brief.")
    dialogue.open()
    dialogue.hear(text, 0.8)
    return dialogue


def test_instructions_come_first_and_may_be_missing() -> None:
    assert texts(Dialogue("Be brief.")) == [("system", "Be brief.")]
    assert texts(Dialogue()) == []


def test_an_open_reply_is_shown_as_if_it_were_heard() -> None:
    dialogue = asked()
    dialogue.write("We open ")
    dialogue.write("at nine. ")
    assert texts(dialogue)[-1] == ("assistant", "We open at nine.")
    dialogue.close()
    assert texts(dialogue)[1:] == [
        ("user", "when do you open"),
        ("assistant", "We open at nine."),
    ]
    assert dialogue.messages[1].confidence == 0.8


def test_a_reply_without_text_leaves_nothing() -> None:
    dialogue = asked()
    dialogue.write("  ")
    dialogue.close()
    assert len(dialogue.messages) == 2


def test_a_cut_reply_keeps_what_was_heard_with_a_mark() -> None:
    dialogue = asked()
    dialogue.write("We open at nine.")
    dialogue.cut(["We open "])
    assert texts(dialogue)[-1] == ("assistant", "We open—")


def test_a_reply_cut_after_its_last_word_has_no_mark() -> None:
    dialogue = asked()
    dialogue.write("We open. ")
    dialogue.cut(["We open."])
    assert texts(dialogue)[-1] == ("assistant", "We open.")


def test_a_reply_of_which_nothing_was_heard_is_forgotten() -> None:
    dialogue = asked()
    dialogue.write("We open.")
    dialogue.cut([])
    assert texts(dialogue)[-1] == ("user", "when do you open")


def test_the_mark_is_the_users_choice() -> None:
    dialogue = Dialogue(cut_mark=" [interrupted]")
    dialogue.open()
    dialogue.write("We open at nine.")
    dialogue.cut(["We "])
    assert texts(dialogue) == [("assistant", "We [interrupted]")]


def with_tool() -> Dialogue:
    dialogue = asked()
    dialogue.write("Let me look.")
    dialogue.call([CALL])
    dialogue.result(Message("tool", "nine", tool_call_id="c1"))
    dialogue.next_round()
    dialogue.write("At nine.")
    return dialogue


def test_tools_stand_between_the_rounds_of_a_reply() -> None:
    dialogue = with_tool()
    dialogue.close()
    assert texts(dialogue)[2:] == [
        ("assistant", "Let me look."),
        ("tool", "nine"),
        ("assistant", "At nine."),
    ]
    assert dialogue.messages[2].tool_calls == (CALL,)


def test_a_tool_stays_called_when_nothing_was_heard() -> None:
    dialogue = with_tool()
    dialogue.cut(["", ""])
    assert texts(dialogue)[2:] == [("assistant", ""), ("tool", "nine")]


def test_a_tool_without_a_result_gets_one_that_says_so() -> None:
    dialogue = asked()
    dialogue.call([CALL, ToolCall("c2", "look", "{}")])
    dialogue.result(Message("tool", "nine", tool_call_id="c2"))
    dialogue.cut([])
    answers = {message.tool_call_id: message.content for message in dialogue.messages[3:]}
    assert answers == {"c1": UNFINISHED, "c2": "nine"}


def test_a_turn_that_goes_on_is_taken_back() -> None:
    dialogue = asked()
    dialogue.write("We")
    assert dialogue.retract()
    assert texts(dialogue) == [("system", "Be brief.")]


def test_a_turn_that_called_a_tool_is_not_taken_back() -> None:
    dialogue = with_tool()
    assert not dialogue.retract()
    assert [role for role, _ in texts(dialogue)] == ["system", "user", "assistant", "tool"]


def test_without_a_turn_there_is_nothing_to_take_back() -> None:
    dialogue = Dialogue("Be brief.")
    assert not dialogue.retract()
    dialogue.open()
    dialogue.write("Hello.")
    assert not dialogue.retract()
    assert len(dialogue.messages) == 1


def test_a_reply_cut_by_mistake_goes_on_where_it_was() -> None:
    dialogue = asked()
    dialogue.write("We open at nine.")
    dialogue.cut(["We open"])
    dialogue.open()
    dialogue.resume()
    dialogue.write(" at nine.")
    assert texts(dialogue)[-1] == ("assistant", "We open at nine.")
    dialogue.cut([" at"])
    assert texts(dialogue)[-1] == ("assistant", "We open at—")


def test_a_resumed_reply_cut_before_its_first_word_is_what_it_was() -> None:
    dialogue = asked()
    dialogue.write("We open at nine.")
    dialogue.cut(["We open"])
    dialogue.resume()
    dialogue.write(" at nine.")
    dialogue.cut([""])
    assert texts(dialogue)[-1] == ("assistant", "We open—")


def test_resuming_a_reply_of_which_nothing_was_heard_begins_a_new_one() -> None:
    dialogue = asked()
    dialogue.resume()
    dialogue.write("At nine.")
    dialogue.close()
    assert texts(dialogue)[-2:] == [("user", "when do you open"), ("assistant", "At nine.")]


def test_writing_without_an_open_reply_changes_nothing() -> None:
    dialogue = Dialogue()
    dialogue.write("x")
    dialogue.call([CALL])
    dialogue.result(Message("tool", "x", tool_call_id="c1"))
    dialogue.next_round()
    dialogue.close()
    assert dialogue.messages == []

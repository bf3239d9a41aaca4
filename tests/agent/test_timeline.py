import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.timeline import Timeline

RATE = 8000


def spoken(*pieces: tuple[str, int]) -> Timeline:
    timeline = Timeline(RATE)
    for text, samples in pieces:
        timeline.begin(text)
        timeline.extend(samples)
    timeline.end()
    return timeline


def test_what_was_played_to_its_end_was_heard() -> None:
    told = spoken(("We open.", 4000), (" Come early.", 6000)).tell(10_000)
    assert (told.heard, told.unheard) == ("We open. Come early.", "")


def test_a_piece_is_cut_at_a_word_in_proportion_to_its_letters() -> None:
    timeline = spoken(("aaaa bbbb cccc dddd", 8000))
    assert timeline.tell(0).heard == ""
    assert timeline.tell(1999).heard == ""
    assert timeline.tell(2000).heard == "aaaa"
    assert timeline.tell(4100).heard == "aaaa bbbb"
    assert timeline.tell(7999).heard == "aaaa bbbb cccc"
    assert timeline.tell(8000).heard == "aaaa bbbb cccc dddd"
    assert timeline.tell(4100).unheard == " cccc dddd"


def test_later_pieces_are_unheard_and_so_is_text_without_audio() -> None:
    told = spoken(("One. ", 1000), ("Two. ", 1000), ("Three. ", 1000)).tell(1000, "Four.")
    assert (told.heard, told.unheard) == ("One. ", "Two. Three. Four.")


def test_a_gap_belongs_to_neither_piece() -> None:
    timeline = Timeline(RATE)
    timeline.begin("One.")
    timeline.extend(1000)
    timeline.begin(" two two")
    timeline.gap(1440)
    timeline.extend(2000)
    timeline.end()
    assert timeline.samples == 4440
    assert timeline.tell(2500).heard == "One."
    assert timeline.tell(3440).heard == "One. two"


def test_of_a_piece_still_being_synthesised_no_more_is_heard_than_there_was_time_for() -> None:
    timeline = Timeline(RATE)
    timeline.begin("aaaa bbbb cccc dddd eeee ffff")
    timeline.extend(2000)
    assert timeline.tell(2000).heard in ("", "aaaa")
    timeline.extend(30_000)
    assert timeline.tell(16_500).heard == "aaaa bbbb cccc"


def test_a_voice_is_known_by_its_first_sentence() -> None:
    timeline = spoken(("aaaa bbbb", 20_000))
    timeline.begin(" cccc dddd")
    timeline.extend(4000)
    assert timeline.tell(24_000).heard == "aaaa bbbb"
    assert timeline.tell(31_000).heard == "aaaa bbbb cccc"


def test_a_piece_without_sound_is_heard_with_what_is_before_it() -> None:
    timeline = spoken(("Yes. ", 1000), ("😀", 0), (" No.", 1000))
    assert timeline.tell(1000).heard == "Yes. 😀"
    assert timeline.tell(500).unheard.endswith("😀 No.")


def test_digits_take_longer_than_letters() -> None:
    timeline = spoken(("call 5550123 now", 10_000))
    assert timeline.tell(5000).heard == "call"


def test_ideographs_are_words() -> None:
    timeline = spoken(("九点开门", 4000))
    assert timeline.tell(2000).heard == "九点"


def test_what_was_heard_is_told_by_round() -> None:
    timeline = Timeline(RATE)
    timeline.begin("Let me look. ", 0)
    timeline.extend(1000)
    timeline.begin("We are closed.", 2)
    timeline.extend(1000)
    timeline.end()
    assert timeline.tell(2000).rounds == ("Let me look. ", "", "We are closed.")
    assert timeline.tell(1000).rounds == ("Let me look. ", "", "")
    assert Timeline(RATE).tell(0).rounds == ()


@given(
    st.lists(
        st.tuples(st.text(alphabet="ab ,.1字", max_size=30), st.integers(0, 20_000)), max_size=6
    ),
    st.integers(-100, 130_000),
    st.integers(0, 130_000),
)
def test_heard_and_unheard_are_the_text_and_more_time_is_never_less_text(
    pieces: list[tuple[str, int]], samples: int, more: int
) -> None:
    timeline = spoken(*pieces)
    told, later = timeline.tell(samples), timeline.tell(samples + more)
    assert told.heard + told.unheard == timeline.text
    assert later.heard.startswith(told.heard)
    assert "".join(told.rounds) == told.heard
    if samples >= timeline.samples:
        assert told.unheard == ""


@pytest.mark.parametrize("samples", [0, 5, 100])
def test_an_empty_timeline_has_told_nothing(samples: int) -> None:
    assert Timeline(RATE).tell(samples, "later").unheard == "later"


def test_a_digit_is_as_long_as_four_letters_and_so_is_an_ideograph() -> None:
    # Weights: 5 for "call", 29 for seven digits and their space, 4 for "now".
    timeline = spoken(("call 5550123 now", 38_000))
    assert timeline.tell(33_999).heard == "call"
    assert timeline.tell(34_000).heard == "call 5550123"
    timeline = spoken(("ab九", 8000))
    assert timeline.tell(2999).heard == ""
    assert timeline.tell(3000).heard == "ab"


def test_a_comma_is_a_pause_as_long_as_a_letter() -> None:
    timeline = spoken(("no, yes", 8000))
    assert timeline.tell(3999).heard == ""
    assert timeline.tell(4000).heard == "no,"


def test_the_space_before_a_later_round_belongs_to_no_round() -> None:
    timeline = Timeline(RATE)
    for number, text in enumerate((" One.", " Two.")):
        timeline.begin(text, number)
        timeline.extend(1000)
    timeline.end()
    told = timeline.tell(2000)
    assert told.rounds == (" One.", "Two.")
    assert told.heard == " One. Two."


def test_a_piece_whose_gap_is_not_over_is_unheard() -> None:
    timeline = Timeline(RATE)
    for text in ("One.", "Two."):
        timeline.begin(text)
        timeline.gap(1000)
        timeline.extend(1000)
    timeline.end()
    assert timeline.tell(1000).heard == ""
    assert timeline.tell(3000).heard == "One."
    assert timeline.tell(4000).heard == "One.Two."

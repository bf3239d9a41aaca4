import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.sentences import SentenceSplitter, speakable, units


def split(text: str, size: int = 1, **options: int) -> list[str]:
    splitter = SentenceSplitter(**({"first_clause": 1000} | options))
    pieces = []
    for at in range(0, len(text), size):
        pieces += splitter.push(text[at : at + size])
    return [piece.strip() for piece in pieces + splitter.flush() if piece.strip()]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("Dr. Smith is in. Mrs. Jones is not.", ["Dr. Smith is in.", "Mrs. Jones is not."]),
        ("It costs 3.50 today. Cash only.", ["It costs 3.50 today.", "Cash only."]),
        ("We open at 9 a.m. on Monday. Come!", ["We open at 9 a.m. on Monday.", "Come!"]),
        ("We open at 9 a.m. Then we close.", ["We open at 9 a.m.", "Then we close."]),
        ("Take bus No. 5 there. No. It is late.", ["Take bus No. 5 there.", "No.", "It is late."]),
        ("Well... let me see. Hm... Yes.", ["Well... let me see.", "Hm...", "Yes."]),
        ("Well… let me see.", ["Well… let me see."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("Really?! Yes (really.) Good.", ["Really?!", "Yes (really.)", "Good."]),
        ("1. First. 2. Second.", ["1. First.", "2. Second."]),
        ("In 2024. Then more.", ["In 2024.", "Then more."]),
        ("Ask J. Smith about it. Bye.", ["Ask J. Smith about it.", "Bye."]),
        ("Plan b. Then c.", ["Plan b.", "Then c."]),
        ("See www.example.com for more. Bye.", ["See www.example.com for more.", "Bye."]),
        ("你好。今天几点？三点！", ["你好。", "今天几点？", "三点！"]),
        ("はい。「そうです。」では。", ["はい。", "「そうです。」", "では。"]),
        ("Great! 😀 See you. 👍🏽", ["Great!", "😀 See you.", "👍🏽"]),
        ("First line\nSecond line\n\nThird", ["First line", "Second line", "Third"]),
        ("e.g. this, i.e. that. Done.", ["e.g. this, i.e. that.", "Done."]),
        ("no end at all", ["no end at all"]),
        ("", []),
        ("   \n  ", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_text_is_cut_where_sentences_end(text: str, sentences: list[str], size: int) -> None:
    assert split(text, size) == sentences


def test_a_sentence_is_given_as_soon_as_the_next_begins() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("We open at nine.") == []
    assert splitter.push(" ") == ["We open at nine."]


def test_a_sentence_of_ideographs_is_given_at_its_mark() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("九点开门。") == ["九点开门。"]


def test_the_first_clause_is_given_early_and_only_the_first() -> None:
    splitter = SentenceSplitter(first_clause=12)
    assert splitter.push("Well, let me have a look, ") == ["Well, let me have a look,"]
    assert splitter.push("it is open, as I said, until six, ") == []
    assert splitter.push("sir. ") == [" it is open, as I said, until six, sir."]


def test_a_short_first_clause_waits() -> None:
    assert SentenceSplitter(first_clause=20).push("Yes, sir, ") == []


def test_numbers_with_commas_are_not_clauses() -> None:
    assert SentenceSplitter(first_clause=5).push("It costs 1,500,000 ") == []


@pytest.mark.parametrize("text", ["word " * 200, "x" * 1000, "字" * 1000, "and so on, " * 100])
def test_no_piece_is_longer_than_the_longest(text: str) -> None:
    pieces = split(text, 7, longest=100)
    assert max(len(piece) for piece in pieces) <= 100
    assert len(pieces) < 60


def test_a_long_piece_is_cut_at_a_comma_rather_than_a_space() -> None:
    text = "one two three four five, six seven eight nine ten eleven twelve"
    assert split(text, longest=40)[0] == "one two three four five,"


@given(st.text(alphabet='ab .,!?…。，\n3「」😀"A', max_size=400), st.integers(1, 40))
def test_the_pieces_are_the_text(text: str, size: int) -> None:
    splitter = SentenceSplitter(longest=50)
    pieces = []
    for at in range(0, len(text), size):
        pieces += splitter.push(text[at : at + size])
    pieces += splitter.flush()
    assert "".join(pieces) == text
    assert all(len(piece) <= 50 for piece in pieces)


@given(st.text(alphabet='abC .,!?…\n3")', max_size=200), st.integers(1, 9))
def test_where_a_text_is_cut_does_not_depend_on_how_it_arrives(text: str, size: int) -> None:
    assert split(text, size) == split(text, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Very** _good_ `code`", "Very good code"),
        ("# Title\n- one\n* two", "Title one two"),
        ("See [our page](https://x.example/y).", "See our page."),
        ("Great 😀👍🏽!", "Great !"),
        ("2 * 3 is 6", "2 * 3 is 6"),
        ("snake_case stays", "snake_case stays"),
        ("😀", ""),
        ("...", ""),
        (" ", ""),
        ("你好。", "你好。"),
        ("before ```print(1)``` after", "before after"),
    ],
)
def test_what_cannot_be_said_is_left_out(text: str, said: str) -> None:
    assert speakable(text) == said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We open at nine.", ["We", " open", " at", " nine."]),
        (" So, yes ", [" So,", " yes "]),
        ("你好。几点", ["你", "好。", "几", "点"]),
        ("在 Berlin 吗", ["在", " Berlin", " 吗"]),
        ("", []),
        ("  ", ["  "]),
    ],
)
def test_units_are_words_or_ideographs(text: str, words: list[str]) -> None:
    assert units(text) == words


@given(st.text(max_size=200))
def test_units_are_the_text(text: str) -> None:
    assert "".join(units(text)) == text


def test_a_sentence_longer_than_the_longest_is_cut_though_its_end_has_come() -> None:
    text = "one two three four five six seven. Eight."
    pieces = split(text, len(text), longest=20)
    assert pieces == ["one two three four", "five six seven.", "Eight."]


def test_a_long_piece_is_cut_at_the_last_comma_that_is_not_too_early() -> None:
    assert split("a, bcdefgh, ijklmnop qrstuvw", 1, longest=20)[0] == "a, bcdefgh,"
    assert split("a, bcdefghijk ijklmnop qrst", 1, longest=20)[0] == "a, bcdefghijk"
    assert split("x" * 50, 50, longest=20) == ["x" * 20, "x" * 20, "x" * 10]


def test_the_first_clause_is_spoken_early_only_if_it_is_long_enough_and_ends_first() -> None:
    splitter = SentenceSplitter(first_clause=5)
    assert splitter.push("Yes. We open at nine, and close late. ") == [
        "Yes.",
        " We open at nine, and close late.",
    ]
    splitter = SentenceSplitter(first_clause=5)
    assert splitter.push("Well, certainly, at nine. ") == ["Well, certainly,", " at nine."]


def test_what_follows_an_abbreviation_says_whether_it_ends_the_sentence() -> None:
    assert split("Open from 9 a.m. to 5 p.m. daily. Bye.") == [
        "Open from 9 a.m. to 5 p.m. daily.",
        "Bye.",
    ]
    assert split("It is room 12. Go there.") == ["It is room 12.", "Go there."]
    assert split("Take no. 5 and no. 6. Then go.") == ["Take no. 5 and no. 6.", "Then go."]

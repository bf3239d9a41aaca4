from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import ConfigError
from trunkline.speech import UnknownWords
from trunkline.speech.lexicon import PHONES, Lexicon
from trunkline.speech.sphinx import find_model

SMALL = "a AH\na(2) EY\na's EY Z\nnine N AY N\nyes Y EH S\nzebra Z IY B R AH\n"


@pytest.fixture
def small(tmp_path: Path) -> Lexicon:
    path = tmp_path / "words.dict"
    path.write_text(SMALL)
    return Lexicon(path, {"Trunkline": "T R AH NG K L AY N", "nine": "N AY N ER"})


@pytest.mark.parametrize(
    ("word", "ways"),
    [
        ("a", ["AH", "EY"]),
        ("a's", ["EY Z"]),
        ("yes", ["Y EH S"]),
        ("zebra", ["Z IY B R AH"]),
        ("trunkline", ["T R AH NG K L AY N"]),
        ("", []),
        ("aa", []),
        ("zzz", []),
        ("!", []),
        ("a(2)", []),
        ("nin", []),
        ("naïve", []),
    ],
)
def test_a_word_has_all_its_ways_to_be_said(small: Lexicon, word: str, ways: list[str]) -> None:
    assert small.find(word) == ways
    assert small.find(word) == ways  # and again, remembered


def test_a_word_of_ones_own_goes_before_the_dictionary(small: Lexicon) -> None:
    assert small.find("nine") == ["N AY N ER"]


def test_unknown_words_are_all_named(small: Lexicon) -> None:
    with pytest.raises(UnknownWords, match=r"'menu'.*flurb, xyzzy") as caught:
        small.pronounce("menu", {"yes", "xyzzy", "flurb"})
    assert caught.value.words == ("flurb", "xyzzy")


@pytest.mark.parametrize("phones", ["", "Q X", "ah", "T R 5"])
def test_phones_that_are_none_are_refused(tmp_path: Path, phones: str) -> None:
    path = tmp_path / "words.dict"
    path.write_text(SMALL)
    with pytest.raises(ConfigError, match="ARPAbet"):
        Lexicon(path, {"word": phones})


def test_a_dictionary_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Lexicon(tmp_path / "none.dict")


def test_a_file_without_a_last_line_end_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "words.dict"
    path.write_text(SMALL.rstrip())
    assert Lexicon(path).find("zebra") == ["Z IY B R AH"]


@given(st.sets(st.text(alphabet="abc'", min_size=1, max_size=5), min_size=1, max_size=30))
def test_every_word_of_any_sorted_dictionary_is_found(
    tmp_path_factory: pytest.TempPathFactory, known: set[str]
) -> None:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text("".join(f"{word} AH{' B' * len(word)}\n" for word in sorted(known)))
    lexicon = Lexicon(path)
    for word in known:
        assert lexicon.find(word) == ["AH" + " B" * len(word)]
    assert lexicon.find("d") == lexicon.find("abcabc") == []
    lexicon.close()


@pytest.mark.needs("sphinx")
def test_the_whole_dictionary_is_found_by_sampling_it() -> None:
    path = find_model() / "cmudict-en-us.dict"
    lexicon = Lexicon(path)
    lines = path.read_text().splitlines()
    for line in lines[::997]:
        word, phones = line.split(None, 1)
        assert phones in lexicon.find(word.partition("(")[0])
    assert set(" ".join(line.split(None, 1)[1] for line in lines[::50]).split()) <= PHONES

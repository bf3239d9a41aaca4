"""What was said when: text against samples, and what of it a caller has heard."""

from dataclasses import dataclass, field

from .sentences import units

__all__ = ["Timeline", "Told"]

SECONDS_PER_LETTER = 0.068
"""A guess at a voice's speed (flite's at its default), until it has spoken a sentence."""


@dataclass(frozen=True, slots=True)
class Told:
    """What of a reply was heard, and what not."""

    heard: str
    """Whole words that have been played."""
    unheard: str
    """Everything after them. ``heard + unheard`` is the reply."""
    rounds: tuple[str, ...]
    """``heard``, by the round of the dialogue it belongs to."""


@dataclass(slots=True)
class _Span:
    """One piece of text and where its audio lies."""

    text: str
    round: int
    start: int
    samples: int = 0
    complete: bool = False


@dataclass(slots=True)
class Timeline:
    """The text of one reply and the samples it became.

    Within a piece the time goes by letters: a word is as long as its share of the
    piece's letters. That is within a word or so of the truth for sentences without
    long numbers; an engine's own word times would be better where it has them.
    """

    rate_hz: int
    _spans: list[_Span] = field(default_factory=list)
    samples: int = 0
    """Samples so far."""

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(span.text for span in self._spans)

    def begin(self, text: str, round: int = 0) -> None:
        """The next piece; the one before is complete."""
        self.end()
        self._spans.append(_Span(text, round, self.samples))

    def extend(self, samples: int) -> None:
        """The piece has that much more audio."""
        self._spans[-1].samples += samples
        self.samples += samples

    def gap(self, samples: int) -> None:
        """Silence before the piece that has just begun."""
        self._spans[-1].start += samples
        self.samples += samples

    def end(self) -> None:
        """The piece has all its audio."""
        if self._spans:
            self._spans[-1].complete = True

    def tell(self, samples: int, rest: str = "") -> Told:
        """What was heard of the first ``samples``; ``rest`` is text that has no audio yet."""
        heard: list[str] = []
        unheard: list[str] = []
        rounds: dict[int, str] = {}
        for span in self._spans:
            said = self._heard(span, samples - span.start) if not unheard else ""
            heard.append(said)
            rounds[span.round] = rounds.get(span.round, "") + said
            if said != span.text:
                unheard.append(span.text[len(said) :])
        last = max(rounds, default=-1)
        # The space between two rounds is the speaker's and not part of either.
        by_round = tuple(
            rounds.get(index, "").lstrip() if index else rounds.get(index, "")
            for index in range(last + 1)
        )
        return Told("".join(heard), "".join(unheard) + rest, by_round)

    def _heard(self, span: _Span, samples: int) -> str:
        """The words of a piece that were over after so many samples of it."""
        if span.complete and samples >= span.samples:
            return span.text
        if samples <= 0:
            return ""
        words = units(span.text)
        weights = [_weight(word) for word in words]
        total = sum(weights)
        length = span.samples
        if not span.complete:
            length = max(length, int(total * self._samples_per_letter()))
        count = reached = 0
        for weight in weights:
            reached += weight
            if reached * length > samples * total:
                break
            count += 1
        return "".join(words[:count])

    def _samples_per_letter(self) -> float:
        done = [span for span in self._spans if span.complete and span.samples]
        letters = sum(_weight(word) for span in done for word in units(span.text))
        if not letters:
            return SECONDS_PER_LETTER * self.rate_hz
        return sum(span.samples for span in done) / letters


def _weight(word: str) -> int:
    """How long a word is, in letters: a digit is spoken as a word, a mark is a pause."""
    weight = 0
    for character in word:
        if character.isdigit() or character > "\u2fff":
            weight += 4
        elif character.isalpha() or character in ",.;:!?":
            weight += 1
    return weight + 1

"""The adaptive filter: a partitioned-block frequency-domain Kalman filter, batched.

After Enzner and Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control
in hands-free telephones" (Signal Processing 86, 2006), with partitions as in Kuech,
Mabande and Enzner, "State-space architecture of the partitioned-block-based acoustic echo
controller" (ICASSP 2014), and only the diagonal of the covariance. The step of every bin
and partition follows from how uncertain its coefficient is and how loud everything else
in the bin is, so near-end speech slows adaptation by itself.

A block is a frame of 20 ms, and its echo is known when it arrives: no delay. (Blocks of
10 ms would adapt twice as often for twice the cost.) Real and imaginary parts are
separate arrays: a complex product in one pass costs numpy what four plain ones cost, and
its last bits depend on where in an array it stands. The gradient constraint is applied to
one partition a frame in turn.

An uncertainty that has shrunk makes the filter slow when the room changes, and one raised
in double talk makes it wrong. So much wandering is expected of a path that has just begun
and little of one that is known, and a path can be kept, given back, or begun anew: which,
is for `Watch` to say.
"""

import numpy as np
from numpy.typing import NDArray

from .echo_pages import FilterState, Page, aligned
from .spectra import irfft, rfft

__all__ = ["FilterState", "KalmanFilter"]

# How much of the path wanders off a frame: soon after it was begun anew, and ever after.
# Much is fast and noisy, little keeps near-end speech out of a path that is known.
_WANDER_FIRST, _WANDER_LAST = np.float32(0.01), np.float32(0.0015)
_WANDER_SETTLES = np.float32(0.99)  # of the way between them a frame: within two seconds
_FINDING = np.float32(0.004)  # until 1.2 s after the beginning
_UNCERTAIN = 0.03  # at first, of a path as loud as the far end
_DECAY = 0.8  # of that, a partition
_NOISE_SHARE = np.float32(0.2)  # smoothing of the power that is not echo
_SPARE = 6  # ring places beyond the partitions: moved back once in as many frames
_FAR_ACTIVE = np.float32(1e-7)  # mean power of -70 dBov
_EMPTY = 0.1
_TINY = np.float32(1e-9)
_HALF = np.float32(0.5)
_LESS_THAN_HALF = np.float32(0.49999)  # so that rounding leaves no uncertainty below nothing
_PAGE_FLOATS = 128 * 10 * 161  # of one array; 64 rows cost a tenth more in numpy's calls
_LEARNT_ROWS = 256  # times partitions are worked on at once
_SUM = "pnf,pnf->nf"
_PAGE_STEP = 16  # rows: 16 times 161 floats end where a cache line ends

_Floats = NDArray[np.float32]


class KalmanFilter:
    """Predicts the echo of one frame of many rows, and learns from what was left."""

    def __init__(self, frame: int, partitions: int) -> None:
        self.frame, self.partitions = frame, partitions
        self.bins = frame + 1
        profile = _UNCERTAIN * _DECAY ** np.arange(partitions)
        self.fresh_uncertainty = np.repeat(
            profile[:, np.newaxis].astype(np.float32), self.bins, axis=1
        )
        steps = _PAGE_FLOATS // (partitions * self.bins * _PAGE_STEP)
        self.page_rows = max(1, steps) * _PAGE_STEP
        self._room = 0

    def state(self, rows: int) -> FilterState:
        """Filters that have heard nothing."""
        state = self.blank(rows)
        for page in state.pages:
            page.head[:] = _SPARE
            page.noise[:] = np.float32(1e-6)
            page.wander[:] = _WANDER_FIRST
            page.uncertainty[:] = self.fresh_uncertainty[:, np.newaxis]
        return state

    def blank(self, rows: int) -> FilterState:
        """So many rows, zero until they are reset."""
        state = FilterState([])
        self.grow(state, rows)
        return state

    def grow(self, state: FilterState, rows: int) -> None:
        """At least so many rows; those that are new are zero until they are reset."""
        while state.rows < rows:
            size = min(rows, self.page_rows) if not state.rows else self.page_rows
            state.add(Page.empty(size, self.frame, self.partitions, _SPARE))
            self._make_room(size)

    def _make_room(self, rows: int) -> None:
        """To work in on a page of so many rows, so that nothing of its size is made anew."""
        if rows <= self._room:
            return
        self._room = rows
        self._change = aligned(self.partitions, rows, self.bins)
        self._product = aligned(self.partitions, rows, self.bins)
        self._padded = aligned(rows, 2 * self.frame)
        self._spectrum = np.zeros((rows, self.bins), np.complex64)
        self._keep = aligned(rows, self.bins)

    def step(
        self, state: FilterState, reference: _Floats, near: _Floats, frozen: NDArray[np.bool_]
    ) -> tuple[_Floats, _Floats]:
        """One frame: predict the echo in ``near``, then learn from what is left; (n, frame).

        Nothing is learnt in frozen rows. Gives the echo, (n, frame), and the power that the
        uncertainty lets one expect of the residual echo, (n, F).
        """
        if len(state.pages) == 1:
            return self._page(state.pages[0], reference, near, frozen)
        echo = np.empty_like(near)
        expected = np.empty((len(near), self.bins), np.float32)
        for page, start in zip(state.pages, state.starts, strict=True):
            part = slice(start, start + len(page))
            echo[part], expected[part] = self._page(page, reference[part], near[part], frozen[part])
        return echo, expected

    def predict_kept(self, state: FilterState, rows: NDArray[np.intp]) -> _Floats:
        """The echo by the path that was kept before the trial, of some rows, ascending."""
        parts = []
        for page, chosen in state.runs(rows):
            at = int(page.head[0])
            x_re, x_im = (
                ring[at : at + self.partitions, chosen] for ring in (page.x_re, page.x_im)
            )
            parts.append(self._echo(page.kept_re[:, chosen], page.kept_im[:, chosen], x_re, x_im))
        return np.concatenate(parts)

    def distrust(self, state: FilterState, row: int, *, anew: bool) -> None:
        """Be as uncertain as at first; ``anew`` from nothing."""
        uncertainty = state.uncertainty[row]
        np.maximum(uncertainty, self.fresh_uncertainty, out=uncertainty)
        self._unsettle(state, row)
        if anew:
            state.h_re[row] = state.h_im[row] = 0

    def keep(self, state: FilterState, rows: NDArray[np.intp]) -> None:
        """Remember the paths of some rows, ascending, as they are now."""
        for page, chosen in state.runs(rows):
            page.kept_re[:, chosen] = page.h_re[:, chosen]
            page.kept_im[:, chosen] = page.h_im[:, chosen]

    def compare(
        self, state: FilterState, rows: NDArray[np.intp]
    ) -> tuple[_Floats, _Floats, _Floats]:
        """The paths of some rows, ascending, against those that were kept.

        Gives the product of one with the other's conjugate, summed over the partitions, as
        real and imaginary part, (n, F) each, and how large it would be of equal paths, (n,).
        """
        parts = [
            [array[:, chosen] for array in (page.h_re, page.h_im, page.kept_re, page.kept_im)]
            for page, chosen in state.runs(rows)
        ]
        re, im, kept_re, kept_im = (
            np.concatenate(part, axis=1) for part in zip(*parts, strict=True)
        )
        cross_re = np.einsum(_SUM, re, kept_re)
        cross_re += np.einsum(_SUM, im, kept_im)
        cross_im = np.einsum(_SUM, im, kept_re)
        cross_im -= np.einsum(_SUM, re, kept_im)
        now = np.einsum(_SUM, re, re) + np.einsum(_SUM, im, im)
        then = np.einsum(_SUM, kept_re, kept_re) + np.einsum(_SUM, kept_im, kept_im)
        return cross_re, cross_im, np.sqrt(now.sum(1) * then.sum(1))

    def follow(self, state: FilterState, rows: NDArray[np.intp]) -> None:
        """Expect the paths to wander as much as those that were just begun."""
        for row in rows.tolist():
            self._unsettle(state, row)

    def restore(self, state: FilterState, row: int) -> None:
        """End a trial that brought nothing: the path before it, with little uncertainty."""
        state.h_re[row], state.h_im[row] = state.kept_re[row], state.kept_im[row]
        power = state.h_re[row] ** 2 + state.h_im[row] ** 2
        state.uncertainty[row] = np.float32(0.05) * power

    def forget(self, state: FilterState, row: int, references: _Floats) -> None:
        """The bulk delay has moved: begin anew, on what the new reference would have been.

        ``references`` is (partitions + 1, frame), newest first, ending before this frame.
        """
        state.h_re[row] = state.h_im[row] = 0
        state.kept_re[row] = state.kept_im[row] = 0
        state.uncertainty[row] = self.fresh_uncertainty
        self._unsettle(state, row)
        self.retell(state, row, references)

    def retell(self, state: FilterState, row: int, references: _Floats) -> None:
        """What the reference would have been if it had always been read as it is now."""
        both = np.concatenate([references[1:], references[:-1]], axis=1)
        spectra = rfft(both)
        page, index = state.at(row)
        place = slice(int(page.head[index]), int(page.head[index]) + self.partitions)
        x_re, x_im = page.x_re[place, index], page.x_im[place, index]
        x_re[:], x_im[:] = spectra.real, spectra.imag
        page.x_power[place, index] = x_re * x_re + x_im * x_im
        page.blocks[index, self.frame :] = references[0]

    def advance(self, state: FilterState, row: int, last: _Floats) -> None:
        """The reference is read one frame later from now on: the path begins a frame earlier.

        ``last`` is what the reference before this one would have been, (frame,).
        """
        for path in (state.h_re, state.h_im, state.kept_re, state.kept_im, state.uncertainty):
            one = path[row]
            one[:-1] = one[1:].copy()
            one[-1] = 0
        state.uncertainty[row][-1] = self.fresh_uncertainty[-1]
        page, index = state.at(row)
        at, end = int(page.head[index]), int(page.head[index]) + self.partitions
        for ring in (page.x_re, page.x_im, page.x_power):
            ring[at : end - 1, index] = ring[at + 1 : end, index].copy()
            ring[end - 1, index] = 0
        page.blocks[index, self.frame :] = last

    def begins_late(self, state: FilterState, row: int) -> bool:
        """Whether the first frame of the path is nearly empty."""
        power = (state.h_re[row] ** 2 + state.h_im[row] ** 2).sum(1)
        return bool(power[0] < _EMPTY * power.sum())

    def _unsettle(self, state: FilterState, row: int) -> None:
        page, index = state.at(row)
        page.wander[index] = _WANDER_FIRST

    def _page(
        self, page: Page, reference: _Floats, near: _Floats, frozen: NDArray[np.bool_]
    ) -> tuple[_Floats, _Floats]:
        at = self._step_back(page)
        self._push(page, at, reference)
        window = slice(at, at + self.partitions)
        x_re, x_im, x_power = page.x_re[window], page.x_im[window], page.x_power[window]
        echo = self._echo(page.h_re, page.h_im, x_re, x_im)
        expected = np.einsum(_SUM, page.uncertainty, x_power)
        expected *= _HALF
        scale = np.float32(2 * self.frame * self.frame)
        rows = ((x_power[0].sum(1) > _FAR_ACTIVE * scale) & ~frozen).nonzero()[0]
        if rows.size:
            weights = self._weigh(page, near - echo, expected, rows)
            self._learn(page, x_re, x_im, x_power, *weights)
            self._constrain_all(page, rows)
        return echo, expected

    def _push(self, page: Page, at: int, reference: _Floats) -> None:
        """Take in one frame of reference, (n, frame)."""
        blocks = page.blocks
        blocks[:, : self.frame] = blocks[:, self.frame :]
        blocks[:, self.frame :] = reference
        spectrum = rfft(blocks)
        re, im, power = page.x_re[at], page.x_im[at], page.x_power[at]
        re[:], im[:] = spectrum.real, spectrum.imag
        np.multiply(re, re, out=power)
        power += im * im

    def _echo(self, h_re: _Floats, h_im: _Floats, x_re: _Floats, x_im: _Floats) -> _Floats:
        """What the newest frame of the reference makes through a path: (n, frame)."""
        spectrum = self._spectrum[: h_re.shape[1]]
        re = np.einsum(_SUM, h_re, x_re)
        re -= np.einsum(_SUM, h_im, x_im)
        im = np.einsum(_SUM, h_re, x_im)
        im += np.einsum(_SUM, h_im, x_re)
        spectrum.real, spectrum.imag = re, im
        return np.asarray(irfft(spectrum)[:, self.frame :], np.float32)

    def _weigh(
        self, page: Page, error: _Floats, expected: _Floats, rows: NDArray[np.intp]
    ) -> tuple[_Floats, _Floats, _Floats, _Floats]:
        """What one frame teaches, (n, F) each: nothing in rows that rest.

        The error's spectrum by the step of every bin, real and imaginary; by how much an
        uncertainty falls for the power it lets one expect, and what is left of it without.
        """
        spectrum, live = self._spectra(error, rows)
        e_re, e_im = spectrum.real, spectrum.imag
        power = e_re * e_re
        power += e_im * e_im
        power -= page.noise
        power *= _NOISE_SHARE * live
        page.noise += power
        step = expected + page.noise
        step += _TINY
        np.divide(live, step, out=step)
        w_re, w_im = e_re * step, e_im * step
        left = np.float32(1) - live * page.wander[:, np.newaxis]
        keep = self._keep[: len(step)]  # a whole block is added faster than a column
        keep[:] = left
        left *= -_LESS_THAN_HALF
        step *= left
        return w_re, w_im, step, keep

    def _spectra(
        self, error: _Floats, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.complex64], _Floats]:
        """Spectra of the error behind a frame of zeros, and 1 for the rows that learn."""
        padded = self._padded[: len(rows)]
        if len(rows) == len(error):
            padded[:, self.frame :] = error
            return rfft(padded), np.ones((1, 1), np.float32)
        padded[:, self.frame :] = error[rows]
        spectrum = np.zeros((len(error), self.bins), np.complex64)
        live = np.zeros((len(error), 1), np.float32)
        spectrum[rows], live[rows] = rfft(padded), 1
        return spectrum, live

    def _learn(
        self,
        page: Page,
        x_re: _Floats,
        x_im: _Floats,
        x_power: _Floats,
        w_re: _Floats,
        w_im: _Floats,
        falls: _Floats,
        keep: _Floats,
    ) -> None:
        """Move the paths, and lower their uncertainty."""
        # A few partitions at once: what is worked on stays in the cache.
        count = max(1, _LEARNT_ROWS // len(page))
        for first in range(0, self.partitions, count):
            part = slice(first, first + count)
            uncertainty, re, im = page.uncertainty[part], x_re[part], x_im[part]
            change = self._change[: len(re), : len(page)]
            product = self._product[: len(re), : len(page)]
            for path, one, other, combine in (
                (page.h_re[part], w_re, w_im, np.add),
                (page.h_im[part], w_im, w_re, np.subtract),
            ):
                np.multiply(re, one, out=change)
                np.multiply(im, other, out=product)
                combine(change, product, out=change)
                change *= uncertainty
                path += change
            np.multiply(uncertainty, x_power[part], out=change)
            change *= falls
            change += keep
            uncertainty *= change

    def _constrain_all(self, page: Page, rows: NDArray[np.intp]) -> None:
        """The next partition of every path in turn; two of one that is still being found."""
        wander = page.wander[rows]
        finding = wander > _FINDING
        added = np.float32(self.partitions) * wander
        if np.count_nonzero(finding):
            added[finding] *= _HALF
            self._constrain(page, rows[finding], added[finding])
        self._constrain(page, rows, added)
        page.wander[rows] = _WANDER_LAST + _WANDER_SETTLES * (wander - _WANDER_LAST)

    def _constrain(self, page: Page, rows: NDArray[np.intp], added: _Floats) -> None:
        """Cut what a partition's filter has grown beyond its frame: the next one in turn.

        It gets what the path's own wandering adds to the uncertainty since its last turn.
        """
        turn = page.turn[rows]
        spectrum = self._spectrum[: len(rows)]
        spectrum.real, spectrum.imag = page.h_re[turn, rows], page.h_im[turn, rows]
        taps = irfft(spectrum)
        taps[:, self.frame :] = 0
        cut = rfft(taps)
        re, im = cut.real, cut.imag
        page.h_re[turn, rows], page.h_im[turn, rows] = re, im
        power = re * re
        power += im * im
        power *= added[:, np.newaxis]
        page.uncertainty[turn, rows] += power
        turn += 1
        turn %= self.partitions
        page.turn[rows] = turn

    def _step_back(self, page: Page) -> int:
        """Make room for a spectrum before the newest; all heads are equal afterwards."""
        head = page.head
        at = int(head[0])
        apart = head != at
        if np.count_nonzero(apart):
            for row in apart.nonzero()[0]:
                self._shift(page, slice(row, row + 1), int(head[row]), at)
        if at == 0:
            self._shift(page, slice(None), 0, _SPARE)
            at = _SPARE
        head[:] = at - 1
        return at - 1

    def _shift(self, page: Page, rows: slice, source: int, target: int) -> None:
        count = self.partitions
        for ring in (page.x_re, page.x_im, page.x_power):
            ring[target : target + count, rows] = ring[source : source + count, rows].copy()

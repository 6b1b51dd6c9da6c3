"""Where a phrase begins and ends: the engine's guess, mended by the loudness around it.

Engines are sure of a phrase some time before or after its end, and not always equally long. Where
a pause follows, the loudness shows the end to a few ms; where the next word follows at once, the
guess stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
BLOCK = 80  # samples, 5 ms
PER_MS = RATE_HZ // 1000

# Found by trying with speech whose phoneme times were known; see docs/wake-words.md.
DROP_DB = 24.0
PAUSE_BLOCKS = 10
EARLIER_MS = 70
LATER_MS = 50
LONGEST_MS = 1_200
SHORTEST_PART = 0.6
ONSET_PAUSE_BLOCKS = 16


def _quiet(sound: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return for each 5 ms whether it is far below the loudest of the last second of sound."""
    blocks = sound[: len(sound) // BLOCK * BLOCK].astype(np.float32).reshape(-1, BLOCK)
    level_db = 10.0 * np.log10(np.mean(blocks * blocks, axis=1) + 1.0)
    # Sorted by hand: numpy's percentile imports for 0.1 s when it is first called.
    newest = np.sort(level_db[-RATE_HZ // BLOCK :])
    loudest = float(newest[len(newest) * 95 // 100]) if len(newest) else 0.0
    return np.asarray(level_db < loudest - DROP_DB, dtype=np.bool_)


def phrase_end(sound: NDArray[np.int16], guess: int) -> int:
    """Return where the phrase ends, in samples of `sound`; may lie behind what there is.

    Args:
        sound: up to where it was heard, 16 kHz.
        guess: where the engine's lag says that the phrase ends.
    """
    quiet = _quiet(sound)
    first = max(1, (guess - EARLIER_MS * PER_MS) // BLOCK)
    last = min(len(quiet), (guess + LATER_MS * PER_MS) // BLOCK)
    ends = [
        block * BLOCK
        for block in range(first, last)
        if quiet[block] and not quiet[block - 1] and quiet[block : block + PAUSE_BLOCKS].all()
    ]
    return min(ends, key=lambda end: abs(end - guess), default=guess)


def phrase_begin(sound: NDArray[np.int16], end: int, length_ms: float) -> int:
    """Return where the phrase that ends at `end` begins, in samples of `sound`.

    The speech before a pause is not part of it; without a pause it has the usual length and some
    more.
    """
    quiet = _quiet(sound)
    usual = int(1.25 * length_ms * PER_MS)
    last = min(len(quiet), int(end - SHORTEST_PART * length_ms * PER_MS) // BLOCK)
    first = max(ONSET_PAUSE_BLOCKS, (end - LONGEST_MS * PER_MS) // BLOCK)
    for block in range(last, first - 1, -1):
        if quiet[block - ONSET_PAUSE_BLOCKS : block].all():
            return block * BLOCK
    return max(0, end - usual)

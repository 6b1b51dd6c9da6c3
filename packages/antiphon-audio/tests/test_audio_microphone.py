from __future__ import annotations

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, StreamReader, Stretch, place_of, wav, wrap_frame
from antiphon_audio.microphone import FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import ContractError
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def frames(count: int, stream: str = "s", first: int = 0) -> list[bytes]:
    """Frames whose samples say where they belong."""
    return [
        wrap_frame(
            Pcm(np.arange(at, at + FRAME_SAMPLES, dtype=np.int64).astype(np.int16), RATE_HZ),
            Place(stream, at),
        )
        for at in range(first * FRAME_SAMPLES, (first + count) * FRAME_SAMPLES, FRAME_SAMPLES)
    ]


def read(reader: StreamReader, sent: list[bytes]) -> list[Stretch]:
    return [stretch for frame in sent if (stretch := reader.push(frame)) is not None]


def test_a_frame_is_a_wav_that_others_can_read_and_says_its_place() -> None:
    pcm = Pcm(np.arange(FRAME_SAMPLES, dtype=np.int16), RATE_HZ)
    for name in ("", "a", "küche", "x" * 64):
        frame = wrap_frame(pcm, Place(name, 2**40))
        assert wav.unwrap(frame) == pcm
        assert place_of(frame) == Place(name, 2**40)
        assert int.from_bytes(frame[4:8], "little") == len(frame) - 8


def test_a_stream_comes_out_as_it_went_in() -> None:
    stretches = read(StreamReader(), frames(10))
    assert [s.anew for s in stretches] == [True] + [False] * 9
    assert np.array_equal(
        np.concatenate([s.samples for s in stretches]), np.arange(10 * FRAME_SAMPLES)
    )
    assert stretches[-1].end == 10 * FRAME_SAMPLES


def test_lost_frames_become_silence_so_that_times_stay_right() -> None:
    reader = StreamReader()
    sent = frames(10)
    del sent[3:6]
    stretches = read(reader, sent)
    assert reader.lost == 3 * FRAME_SAMPLES
    filled = stretches[3]
    assert filled.place.offset == 3 * FRAME_SAMPLES
    assert not filled.samples[: 3 * FRAME_SAMPLES].any()
    assert filled.samples[3 * FRAME_SAMPLES] == 6 * FRAME_SAMPLES
    assert not any(s.anew for s in stretches[1:])


def test_doubled_and_late_frames_are_passed_over() -> None:
    reader = StreamReader()
    sent = frames(6)
    stretches = read(reader, [sent[0], sent[0], sent[1], sent[3], sent[2], *sent[4:]])
    assert reader.passed_over == 2
    assert sum(len(s.samples) for s in stretches) == 6 * FRAME_SAMPLES


def test_frames_that_overlap_are_trimmed() -> None:
    reader = StreamReader()
    half = FRAME_SAMPLES // 2
    late = wrap_frame(
        Pcm(np.arange(half, half + FRAME_SAMPLES, dtype=np.int16), RATE_HZ), Place("s", half)
    )
    stretches = read(reader, [frames(1)[0], late])
    assert np.array_equal(
        np.concatenate([s.samples for s in stretches]), np.arange(FRAME_SAMPLES + half)
    )


def test_a_new_stream_and_a_long_gap_begin_anew() -> None:
    reader = StreamReader()
    stretches = read(reader, [*frames(2), *frames(2, "t"), *frames(1, "t", first=100)])
    assert [s.anew for s in stretches] == [True, False, True, False, True]
    assert stretches[-1].place == Place("t", 100 * FRAME_SAMPLES)


def test_frames_without_a_place_count_as_they_come_at_any_rate() -> None:
    reader = StreamReader()
    tone = Pcm((np.sin(np.arange(4_410) / 9) * 9_000).astype(np.int16), 44_100)
    stretches = read(reader, [wav.wrap(tone)] * 20)
    assert [s.anew for s in stretches] == [True] + [False] * (len(stretches) - 1)
    assert abs(stretches[-1].end - 32_000) < 800
    assert stretches[0].place.stream == ""


def test_a_known_microphone_after_one_without_places_begins_anew() -> None:
    reader = StreamReader()
    plain = wav.wrap(Pcm.silence(80, RATE_HZ))
    first, second, third = read(reader, [plain, frames(1)[0], plain])
    assert (first.anew, second.anew, third.anew) == (True, True, True)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"RIFF",
        b"not a wav at all, but long enough to be one, if it were",
        frames(1)[0][:-10],
        wav.wrap(Pcm.silence(2_100, RATE_HZ)),
        wav.wrap(Pcm.silence(80, 4_000)),
        frames(1)[0].replace(b"plac\x09", b"plac\x04"),
    ],
)
def test_what_is_no_frame_is_refused_and_harms_nothing(frame: bytes) -> None:
    reader = StreamReader()
    sent = frames(3)
    reader.push(sent[0])
    with pytest.raises(ContractError):
        reader.push(frame)
    stretch = reader.push(sent[1])
    assert stretch is not None
    assert not stretch.anew
    assert stretch.place.offset == FRAME_SAMPLES


def test_sound_at_another_rate_or_a_long_name_is_not_wrapped() -> None:
    with pytest.raises(ContractError, match="resample"):
        wrap_frame(Pcm.silence(80, 22_050), Place("s", 0))
    with pytest.raises(ContractError, match="name"):
        wrap_frame(Pcm.silence(80, RATE_HZ), Place("s" * 65, 0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=30), max_size=40))
def test_whatever_the_order_sound_is_at_its_own_place(order: list[int]) -> None:
    reader = StreamReader()
    sent = frames(31)
    at: int | None = None
    for stretch in read(reader, [sent[i] for i in order]):
        if at is not None and not stretch.anew:
            assert stretch.place.offset == at
        at = stretch.end
        places = np.arange(stretch.place.offset, stretch.end)
        assert np.all((stretch.samples == places.astype(np.int16)) | (stretch.samples == 0))

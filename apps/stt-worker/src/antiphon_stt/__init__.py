"""Speech to text: whole recordings in, transcripts or the reason for none out.

Another engine is an entry point of `antiphon.transcribers`: a factory that takes `SttSettings` and
a `ModelStore` and returns a `Transcriber`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_stt.settings import SttSettings
    from antiphon_stt.transcriber import Hints, Transcriber
    from antiphon_stt.transcript import Segment, Transcript
else:
    __getattr__ = late_imports(
        __name__,
        Hints="transcriber",
        Transcriber="transcriber",
        SttSettings="settings",
        Segment="transcript",
        Transcript="transcript",
    )

__all__ = ["Hints", "Segment", "SttSettings", "Transcriber", "Transcript"]

"""Spans: durations, times of day, days and numbers in what people say."""

from antiphon_router.spans.durations import duration_s
from antiphon_router.spans.moments import Moment, moment_of
from antiphon_router.spans.tags import Tagged, Tagger

__all__ = ["Moment", "Tagged", "Tagger", "duration_s", "moment_of"]

"""Topics of the dialogue, the plain door and keeping house."""

from __future__ import annotations

from antiphon_contracts.payloads.dialogue import (
    Announce,
    Announced,
    AskUser,
    DialogueControl,
    DialogueState,
    UserAnswer,
)
from antiphon_contracts.payloads.house import Control, DeadLetter, Health, PlainAnswer, PlainAsk
from antiphon_contracts.roles import EVERYONE, PEOPLE, WORKERS, Flow, Role
from antiphon_contracts.topic import RawTopic, RequestTopic, Topic

PLAIN = "text/plain or application/json"

# The dialogue
DIALOGUE_STATE = Topic[DialogueState](
    "dialogue/{site}/state",
    1,
    Flow(Role.ROUTER, Role.SATELLITE | Role.TIMER | PEOPLE),
    "Idle, listening, thinking, speaking or paused.",
    retain=True,
    model=DialogueState,
    type="dialogue.state/1",
)
DIALOGUE_CONTROL = Topic[DialogueControl](
    "dialogue/{site}/control",
    1,
    Flow(Role.SATELLITE | PEOPLE, Role.ROUTER),
    "Pause, resume, stop, repeat, listen.",
    model=DialogueControl,
    type="dialogue.control/1",
)
ANNOUNCED = Topic[Announced](
    "announced",
    1,
    Flow(Role.ROUTER, Role.TOOLS | Role.TIMER | PEOPLE),
    "How an announcement ended at each site.",
    model=Announced,
    type="announced/1",
)
ANNOUNCE = RequestTopic[Announce, Announced](
    "announce",
    1,
    Flow(Role.TOOLS | Role.TIMER | PEOPLE, Role.ROUTER),
    "Says a text at some sites, or all.",
    model=Announce,
    type="announce/1",
    reply=ANNOUNCED,
)
USER_ANSWER = Topic[UserAnswer](
    "user/answer",
    1,
    Flow(Role.ROUTER, Role.TOOLS | Role.OPERATOR),
    "What a person answered.",
    model=UserAnswer,
    type="user.answer/1",
)
ASK_USER = RequestTopic[AskUser, UserAnswer](
    "user/ask",
    1,
    Flow(Role.TOOLS | Role.OPERATOR, Role.ROUTER),
    "Asks a person something aloud, and listens.",
    model=AskUser,
    type="user.ask/1",
    reply=USER_ANSWER,
)

# The plain door
SAY = RawTopic(
    "say", 1, Flow(PEOPLE, Role.ROUTER), "Says a text.", content_type=PLAIN, plain=PlainAsk
)
SAY_SITE = RawTopic(
    "say/{site}",
    1,
    Flow(PEOPLE, Role.ROUTER),
    "Says a text there.",
    content_type=PLAIN,
    plain=PlainAsk,
)
ASK = RawTopic(
    "ask", 1, Flow(PEOPLE, Role.ROUTER), "Asks a question.", content_type=PLAIN, plain=PlainAsk
)
ASK_SITE = RawTopic(
    "ask/{site}",
    1,
    Flow(PEOPLE, Role.ROUTER),
    "Asks a question there.",
    content_type=PLAIN,
    plain=PlainAsk,
)
ANSWER = RawTopic(
    "answer/{site}",
    1,
    Flow(Role.ROUTER, Role.ROUTER | PEOPLE | Role.METRICS),
    "The answer, as JSON without an envelope.",
    plain=PlainAnswer,
)

# Keeping house
CONTROL = Topic[Control](
    "control/{worker}",
    1,
    Flow(Role.OPERATOR, WORKERS),
    "To one worker, or to `all`.",
    addressed=True,
    model=Control,
    type="control/1",
)
HEALTH = Topic[Health](
    "health/{worker}",
    0,
    Flow(WORKERS, EVERYONE),
    "How a worker is; `gone` is its last will.",
    retain=True,
    model=Health,
    type="health/1",
)
DEAD = Topic[DeadLetter](
    "dead/{worker}/{letter}",
    1,
    Flow(WORKERS | Role.OPERATOR, WORKERS | Role.OPERATOR),
    "A message whose handler crashed; an empty message takes the letter away.",
    retain=True,
    addressed=True,
    model=DeadLetter,
    type="dead/1",
)
DEAD_RETRY = RawTopic(
    "dead/{worker}/{letter}/retry",
    1,
    Flow(Role.OPERATOR, WORKERS),
    "Has the worker take the letter's message in once more; the payload is empty.",
    content_type="none",
    addressed=True,
)

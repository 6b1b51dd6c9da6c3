"""How many of 50 written commands become the right call of a tool, by model and tool mode.

`llm_tools.py [--model FILE.gguf ...] [--mode schema ...]` runs the worker's own tool loop with
llama.cpp in this process and tools that only take note. Without `--model` it is SmolLM2, the
embedded default; other weights are the caller's own. One line of JSON for each model and mode:

- `right`: right tool and right arguments; of talk that needs no tool: no call.
- `right_tool`: the right tool, whatever its arguments.
- `invalid`: the first call's arguments do not keep to the tool's schema.
- `errors`: no answer at all.
- `call_ms_p50`, `total_ms_p50`: from the command to the call, and to the end of the answer.
- `cpu_ms_p50`: what the whole took of one core, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from antiphon_contracts import (
    LLM_REQUEST,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    LlmRequest,
    Message,
    ToolCall,
    ToolRegistry,
    ToolResult,
    ToolSpec,
)
from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_runtime.handlers import serve
from antiphon_runtime.logs import configure_logs
from antiphon_runtime.testing import House
from command import say
from jsonschema import Draft202012Validator

COMMANDS = Path(__file__).with_name("llm_tools_commands.json")
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Made:
    """A call that came to the tools, and when."""

    name: str
    arguments: dict[str, Any]
    at: float


@dataclass
class Tally:
    """What came of the commands."""

    right: int = 0
    right_tool: int = 0
    invalid: int = 0
    errors: int = 0
    call_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    wrong: list[dict[str, Any]] = field(default_factory=list)


def fits(wanted: Any, found: Any) -> bool:
    """Return whether a value is what is wanted; `any` lists choices, `has` words that it holds."""
    if isinstance(wanted, dict) and "any" in wanted:
        return any(fits(choice, found) for choice in wanted["any"])
    if isinstance(wanted, dict) and "has" in wanted:
        text = str(found).lower()
        return isinstance(found, str) and all(word in text for word in wanted["has"])
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(wanted) == len(found)
        return same and all(map(fits, wanted, found))
    if isinstance(wanted, str):
        return isinstance(found, str) and found.strip().lower() == wanted.lower()
    return wanted is found if wanted is None else bool(found == wanted)


def is_right(command: dict[str, Any], made: Made) -> bool:
    """Return whether a call is the one that a command means, and says nothing more."""
    wanted: dict[str, Any] = command["arguments"]
    given = {key: value for key, value in made.arguments.items() if value not in (None, "")}
    known = set(given) <= set(wanted)
    return known and all(fits(value, given.get(key)) for key, value in wanted.items())


async def run(model: str, mode: str, limit: int, step: int) -> dict[str, Any]:
    """Give every `step`th command to one model in one mode."""
    data = json.loads(COMMANDS.read_text(encoding="utf-8"))
    commands = data["commands"][::step]
    specs = tuple(ToolSpec.model_validate(tool) for tool in data["tools"])
    checks = {spec.name: Draft202012Validator(spec.parameters) for spec in specs}
    made: list[Made] = []

    async def on_call(message: Message[ToolCall]) -> ToolResult:
        call = message.data
        made.append(Made(call.name, call.arguments, asyncio.get_running_loop().time()))
        return ToolResult(name=call.name, result={"text": "That is done."})

    settings = load_settings(
        LlmSettings,
        provider="embedded",
        tool_mode=mode,
        profile="standard",
        tools_limit=limit,
        history_tokens=0,
        # What is measured is the model, also on a machine that has other things to do.
        thinking_timeout_s=TIMEOUT_S,
        stall_timeout_s=TIMEOUT_S,
        **({"embedded_model": model} if model else {}),
    )
    runtime = load_settings(RuntimeSettings)
    tally = Tally()
    async with House(requests=[LLM_REQUEST]) as house:
        tools = await house.serve(serve(TOOLS_CALL, on_call, concurrency=4))
        await house.move_in("llm", settings, build, runtime=runtime)
        tools.publish(TOOLS_REGISTRY, ToolRegistry(tools=specs))
        await asyncio.sleep(0.2)
        for command in commands:
            made.clear()
            await _give(house, command, made, tally)
            if made and not checks[made[0].name].is_valid(made[0].arguments):
                tally.invalid += 1
            say(f"{len(tally.total_ms)} of {len(commands)}: {tally.right} right")
    count = len(commands)
    return {
        "model": Path(model).stem or settings.embedded_model,
        "mode": mode,
        "commands": count,
        "right": tally.right,
        "right_tool": tally.right_tool,
        "invalid": tally.invalid,
        "errors": tally.errors,
        "rate": round(tally.right / count, 3),
        "call_ms_p50": _p50(tally.call_ms),
        "total_ms_p50": _p50(tally.total_ms),
        "cpu_ms_p50": _p50(tally.cpu_ms),
        "wrong": tally.wrong,
    }


async def _give(house: House, command: dict[str, Any], made: list[Made], tally: Tally) -> None:
    clock = asyncio.get_running_loop()
    begun, cpu_begun = clock.time(), time.process_time()
    request = LlmRequest(text=command["text"], use_rag=False)
    answer = await house.bus.request(LLM_REQUEST, request, timeout_s=TIMEOUT_S)
    tally.total_ms.append(1000 * (clock.time() - begun))
    tally.cpu_ms.append(1000 * (time.process_time() - cpu_begun))
    first = made[0] if made else None
    if first is not None:
        tally.call_ms.append(1000 * (first.at - begun))
    name = first.name if first is not None else None
    tally.errors += answer.error is not None
    same_tool = name == command["tool"]
    right = same_tool and (first is None or is_right(command, first))
    tally.right_tool += same_tool
    tally.right += right
    if not right:
        arguments = first.arguments if first is not None else None
        tally.wrong.append(
            {"text": command["text"], "called": name, "arguments": arguments, "error": answer.error}
        )


def _p50(values: list[float]) -> float | None:
    return round(statistics.median(values)) if values else None


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", nargs="+", default=[""], help="weights, as .gguf files")
    parser.add_argument("--mode", nargs="+", default=["schema"], choices=("schema", "native"))
    parser.add_argument("--limit", type=int, default=0, help="tools offered at once")
    parser.add_argument("--step", type=int, default=1, help="take only every STEPth command")
    parser.add_argument("--wrong", action="store_true", help="list the commands that went wrong")
    options = parser.parse_args()
    configure_logs("llm_tools", level="error", style="text")
    for model in options.model:
        for mode in options.mode:
            found = asyncio.run(run(model, mode, options.limit, options.step))
            if not options.wrong:
                del found["wrong"]
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main()

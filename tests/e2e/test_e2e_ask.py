from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from running_stack import Stack

pytestmark = pytest.mark.e2e


def test_a_written_question_is_answered(stack: Stack) -> None:
    assert stack.answer("what is three plus four") == "That is 7."


def test_the_language_model_answers_what_the_fast_path_cannot(stack: Stack) -> None:
    assert "Shakespeare" in stack.answer("Who wrote Hamlet?")


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_recording_is_answered_with_sound(
    stack: Stack, question_wav: Path, tmp_path: Path, form: str
) -> None:
    samples, rate = soundfile.read(question_wav)
    question, out = tmp_path / f"q.{form.lower()}", tmp_path / "answer.wav"
    soundfile.write(question, samples, rate, format=form)
    done = stack.run("ask", "--json", "--wav", str(question), "--out", str(out))
    assert done.returncode == 0, done.stderr
    turn = json.loads(done.stdout)
    assert set(turn) >= {"turn_id", "transcript", "answer", "route", "stages", "audio"}
    assert "12" in turn["transcript"]
    assert turn["answer"] == "That is 84."
    assert turn["speech_end_to_first_audio_ms"] > 0
    assert [stage["name"] for stage in turn["stages"]] == ["stt", "fast", "first_clause", "tts"]
    assert all(0 <= stage["start_ms"] <= stage["end_ms"] for stage in turn["stages"])
    assert soundfile.info(out).duration > 0.4
    heard = stack.run("transcribe", str(out))
    assert "84" in heard.stdout


def test_what_is_remembered_is_known_later_and_can_be_forgotten(stack: Stack) -> None:
    assert "your boat is green" in stack.answer("Remember that my boat is green.")
    assert "green" in stack.answer("What colour is my boat?").lower()
    assert "forgotten" in stack.answer("Forget that my boat is green.")
    assert "nothing like that" in stack.answer("Forget that my boat is green.")


def test_several_files_are_transcribed_a_line_each(stack: Stack, question_wav: Path) -> None:
    done = stack.run("transcribe", str(question_wav), str(question_wav))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(question_wav)] * 2
    assert all("12" in line.split("\t")[1] for line in lines)


def test_say_is_spoken(stack: Stack) -> None:
    done = stack.run("say", "Dinner is ready.")
    assert done.returncode == 0, done.stderr


def test_status_shows_every_worker(stack: Stack) -> None:
    done = stack.run("status", "--json")
    health = json.loads(done.stdout)
    assert {worker["kind"] for worker in health.values()} == {
        "wake",
        "stt",
        "tts",
        "llm",
        "memory",
        "router",
        "timer",
        "tools",
        "satellite",
    }
    assert all(worker["state"] in {"ready", "degraded"} for worker in health.values())


def test_doctor_finds_nothing_wrong(stack: Stack) -> None:
    done = stack.run("doctor", "--json")
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["verdict"] == "wrong"] == []
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ask"], "exactly one of"),
        (["ask", "hello", "--mic"], "exactly one of"),
        (["ask", "--wav", "missing.wav"], "missing.wav cannot be read"),
        (["ask", "hi", "--broker", "http://x"], "a broker address looks like"),
        (["ask", "hi", "--broker", "mqtt://127.0.0.1:9"], "no MQTT broker answers"),
        (["models", "fetch", "nonsense"], "nonsense"),
    ],
)
def test_wrong_use_says_what_to_do(stack: Stack, arguments: list[str], sentence: str) -> None:
    done = stack.run(*arguments)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

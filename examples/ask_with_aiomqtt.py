"""Ask Antiphon with nothing but aiomqtt: `python ask_with_aiomqtt.py "what time is it"`."""

import argparse
import asyncio
import json
import uuid

import aiomqtt


async def ask(client: aiomqtt.Client, text: str) -> str:
    question = {"text": text, "id": str(uuid.uuid4())}
    await client.subscribe("antiphon/answer/default", qos=1)
    await client.publish("antiphon/ask", json.dumps(question), qos=1)
    async for message in client.messages:
        answer = json.loads(bytes(message.payload))
        if answer["id"] == question["id"]:
            return str(answer["answer"] or answer["error"])
    raise ConnectionError


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", default="what time is it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--timeout", type=float, default=60, help="seconds")
    given = parser.parse_args()
    client = aiomqtt.Client(given.host, given.port, username=given.user, password=given.password)
    async with asyncio.timeout(given.timeout), client:
        print(await ask(client, given.text))


if __name__ == "__main__":
    asyncio.run(main())

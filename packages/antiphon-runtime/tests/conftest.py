"""Brokers that the runtime's tests share, each started once."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from antiphon_runtime.broker import BrokerAddress, embedded_broker


@contextmanager
def broker_in_a_thread(
    directory: Path, kind: Literal["mosquitto", "amqtt"]
) -> Iterator[BrokerAddress]:
    """A broker that outlives the event loops of single tests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"broker-{kind}")
    thread.start()
    broker = embedded_broker(directory, kind=kind, anonymous=True)
    try:
        started = asyncio.run_coroutine_threadsafe(broker.__aenter__(), loop).result(20)
        yield started.address
        asyncio.run_coroutine_threadsafe(broker.__aexit__(None, None, None), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    with broker_in_a_thread(tmp_path_factory.mktemp("mosquitto"), "mosquitto") as address:
        yield address


@pytest.fixture(scope="session")
def amqtt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    with broker_in_a_thread(tmp_path_factory.mktemp("amqtt"), "amqtt") as address:
        yield address

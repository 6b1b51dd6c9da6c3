"""Addresses of embedded brokers."""

import pytest
from antiphon_runtime.broker.address import fresh_address

pytestmark = pytest.mark.unit


def test_a_fresh_password_goes_into_command_lines_and_urls_as_it_is() -> None:
    passwords = {fresh_address(1883).password for _ in range(500)}
    assert len(passwords) == 500
    assert all(password.isalnum() for password in passwords)


def test_a_password_is_not_shown() -> None:
    address = fresh_address(1883)
    assert address.password not in repr(address)

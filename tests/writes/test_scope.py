"""The scope of a write: spellings of one address are one, and different addresses and accounts stay apart."""

from __future__ import annotations

import pytest

from phone_number_mcp.writes.scope import normalized, tenant


@pytest.mark.parametrize(
    ("spelling", "same"),
    [
        ("https://API.Zudu.test", "https://api.zudu.test"),
        ("https://api.zudu.test:443/", "https://api.zudu.test"),
        ("http://127.0.0.1:80", "http://localhost"),
        ("http://127.1.2.3", "http://localhost"),
        ("http://[::1]:8080/", "http://localhost:8080"),
        ("http://dev.localhost:8080", "http://localhost:8080"),
        ("https://api.zudu.test./v1/", "https://api.zudu.test/v1"),
    ],
)
def test_two_spellings_of_an_address_are_one(spelling: str, same: str) -> None:
    assert normalized(spelling) == normalized(same) == same


@pytest.mark.parametrize(
    "address",
    [
        "http://api.zudu.test",
        "https://api.zudu.test:80",
        "https://api.zudu.test:8443",
        "https://api.zudu.test/v1",
        "https://test.zudu.api",
        "https://localhost.zudu.test",
        "http://[2001:db8::1]:8080",
        "http://192.0.2.1",
    ],
)
def test_what_may_be_another_platform_keeps_its_address(address: str) -> None:
    assert normalized(address) == address


def test_an_account_has_one_name_which_says_nothing_without_the_journals_key() -> None:
    name = tenant(b"key", ("ab", "c"))
    assert name == tenant(b"key", ("ab", "c"))
    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")
    others = [tenant(b"other key", ("ab", "c")), tenant(b"key", ("a", "bc")), tenant(b"key", ("c", "ab"))]
    assert len({name, *others}) == 4

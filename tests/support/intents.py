"""A write that the tests of the journal claim."""

from __future__ import annotations

from phone_number_mcp.writes.journal import Intent

INTENT = Intent(
    platform="test",
    address="https://platform.test",
    credentials=("secret",),
    operation="create_phone_number",
    phone_number="+14155550120",
    fingerprint="the same",
    budget=5.0,
    creates=True,
)

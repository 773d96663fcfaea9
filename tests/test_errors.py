"""Words of errors that do not belong to one of them."""

from __future__ import annotations

import pytest

from phone_number_mcp.errors import duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.24, "0.2 s"),
        (2.0, "2 s"),
        (9.96, "10 s"),
        (12.04, "12 s"),
        (59.7, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3 * 3600 + 100, "3 h"),
        (50 * 3600, "2 days"),
    ],
)
def test_a_duration_reads_as_a_number_and_a_unit(seconds: float, told: str) -> None:
    assert duration(seconds) == told

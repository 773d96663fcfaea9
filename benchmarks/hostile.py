"""How long a reply of 1 MiB holds the event loop, in the worst shapes that are known: `python -m benchmarks.hostile`.

Each is parsed, and made safe to show, as a tool call does it. The time is that of the thread: what else the machine does is no part of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.upstream.reply import MAX_REPLY_BYTES, UnreadableError, parse

SECRETS = ["sk_Rk7Zp2Qw9Lx4Vb6Nm1Ts", "s3cr3t_Yt6Ue1Oi8Pa3Sd5F"]
MAX_TEXT = 10_000


def repeated(unit: str, start: str = '{"a":"', end: str = '"}') -> bytes:
    """Return a reply that is as large as may be, of a unit over and over."""
    room = MAX_REPLY_BYTES - len((start + end).encode())
    return (start + unit * (room // len(unit.encode())) + end).encode()


def shapes() -> Iterator[tuple[str, bytes]]:
    """Yield each shape with its name."""
    yield "empty arrays", repeated("[],", "[", "[]]")
    yield "empty objects", repeated("{},", "[", "{}]")
    yield "numbers", repeated("1,", "[", "1]")
    yield "numbers of 4,300 digits", repeated("9" * 4300 + ",", "[", "1]")
    yield "floats", repeated("1.1e300,", "[", "1]")
    yield "texts", repeated('"a",', "[", '""]')
    yield "texts that are not ASCII", repeated('"ü",', "[", '""]')
    yield "keys", ("{" + ",".join(f'"{n:x}":1' for n in range(100_000)) + "}").encode()
    yield "keys that are not ASCII", ("{" + ",".join(f'"ü{n:x}":1' for n in range(80_000)) + "}").encode()
    yield "one key over and over", repeated('"a":1,', "{", '"a":1}')
    yield "nested thirty deep", repeated("[" * 30 + "]" * 30 + ",", "[", "1]")
    yield "nested without end", repeated("[", "", "")
    yield "backslashes", repeated("\\\\")
    yield "texts of backslashes", repeated("\\\\" * 5_000 + '","', '{"a":["', '"]}')
    yield "a key of backslashes", repeated("\\\\", '{"', '":1}')
    yield "percent signs", repeated("%25")
    yield "entities", repeated("&amp;")
    yield "joiners", repeated("\u0627\u200d")
    yield "combining characters", repeated("\u0301")
    yield "escape sequences", repeated("\\u001b[")
    yield "unterminated sequences", repeated("\\u009d")
    yield "the first letter of a secret", repeated("s", '{"a":"\\\\')
    yield "near misses", repeated(SECRETS[0][:-1] + "\\\\")
    yield "near misses, escaped", repeated("".join(f"\\\\u{ord(char):04x}" for char in SECRETS[0][:-1]))


def main() -> None:
    """Print the milliseconds of each shape."""
    sanitize = Sanitizer(SECRETS)
    sanitize.json("\\" + SECRETS[0], MAX_TEXT)  # compiles what is looked for, once for each process
    for name, raw in shapes():
        begun = time.thread_time()
        with suppress(UnreadableError):
            sanitize.bounded_json(parse(raw), MAX_TEXT)
        print(f"{1000 * (time.thread_time() - begun):8.1f} ms  {name}")


if __name__ == "__main__":
    main()

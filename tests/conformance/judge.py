"""The official conformance suite against the real `phone-number-mcp http`: every check that applies must hold.

    python judge.py            # needs npm; installs the suite beside this file
    python judge.py --update   # writes docs/conformance.md anew

What does not apply is named below with its reason. A scenario that is neither is a failure: somebody has to look at it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "conformance.md"
PATIENCE = 120

APPLIES = {
    "2025-11-25": (
        *("server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection"),
    ),
    "2026-07-28": (
        *("server-stateless", "tools-list", "resources-list", "prompts-list", "sep-2164-resource-not-found", "caching"),
        *("server-sse-multiple-streams", "http-header-validation", "dns-rebinding-protection"),
        *("input-required-result-unsupported-methods", "input-required-result-validate-input"),
    ),
}
_ITS_OWN = "It needs a tool, prompt or resource that is there just for the suite."
_TASKS = "The tasks extension is not offered: no call takes longer than `--timeout`."
NOT_APPLICABLE = {
    "completion-complete": _ITS_OWN + " Completion: `tests/test_completion.py`.",
    "logging-set-level": "The log goes to stderr: not offered.",
    "tools-call-": _ITS_OWN,
    "resources-read-": _ITS_OWN,
    "resources-templates-read": _ITS_OWN,
    "resources-subscribe": "A number cannot be subscribed to: not offered.",
    "resources-unsubscribe": "A number cannot be subscribed to: not offered.",
    "prompts-get-": _ITS_OWN,
    "input-required-result-": _ITS_OWN + " Questions: `tests/test_consent.py`.",
    "elicitation-": _ITS_OWN + " Questions: `tests/test_consent.py`.",
    "json-schema-2020-12": _ITS_OWN,
    "http-custom-header-server-validation": "No tool has an argument that goes into a header.",
    "tasks-": _TASKS,
    "server-sse-polling": "There are no sessions: streams end with their request.",
    "server-sse-multiple-streams": "Up to 2025-11-25 it needs a session id, and there are no sessions. It applies, and holds, in 2026-07-28.",
}
"""Scenario, or how its name begins, → why it does not apply."""
EXCUSED = {
    "sep-2575-server-rejects-undeclared-capability": _ITS_OWN,
    "sep-2575-missing-capability-http-400": _ITS_OWN,
    "sep-2575-http-server-no-independent-requests-on-stream": _ITS_OWN,
    "sep-2575-server-no-log-without-loglevel": _ITS_OWN,
}
"""Single checks of scenarios that apply, which say themselves that they cannot be made here."""


@dataclass(frozen=True)
class Outcome:
    """What one scenario came to."""

    era: str
    scenario: str
    passed: int
    failed: tuple[str, ...]
    """The checks that failed, with what the suite said."""

    @property
    def reason(self) -> str | None:
        """Why it does not apply; None if it does, or if nobody knows."""
        if self.scenario in APPLIES[self.era]:
            return None
        return next((why for name, why in NOT_APPLICABLE.items() if self.scenario.startswith(name)), None)

    @property
    def faults(self) -> list[str]:
        """What is wrong."""
        if self.reason:
            return []
        if self.scenario not in APPLIES[self.era]:
            return [f"{self.era} {self.scenario}: is not known here; say whether it applies"]
        if not self.passed:
            return [f"{self.era} {self.scenario}: checked nothing"]
        return [
            f"{self.era} {self.scenario}: {check}"
            for check in self.failed
            if not (check.partition(":")[0] in EXCUSED and "Not testable" in check)
        ]


def install() -> Path:
    """Install the suite and the Node that it needs, unless they are there; return where."""
    modules = HERE / "node_modules"
    if not (modules / ".installed").exists() or (
        (HERE / "package.json").stat().st_mtime > (modules / ".installed").stat().st_mtime
    ):
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("The conformance suite needs npm")
        subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE, check=True
        )
        (modules / ".installed").touch()
    return modules


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Start the real server, and lend its address."""
    command = [sys.executable, "-m", "phone_number_mcp", "http", "--sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = re.search(r"http://\S+", process.stderr.readline())
            assert address is not None, "the server did not start"
            yield address[0]
        finally:
            process.terminate()


def run(modules: Path, suite: str, *options: str) -> dict[str, list[dict[str, str]]]:
    """Run a suite; return scenario → its checks."""
    with serving() as url, tempfile.TemporaryDirectory() as place:
        subprocess.run(
            [
                modules / "node/bin/node",
                modules / suite / "dist/index.js",
                "server",
                "--url",
                url,
                "-o",
                place,
                *options,
            ],
            cwd=place,
            timeout=PATIENCE,
            check=False,  # its status counts what does not apply
            capture_output=True,
        )
        return {
            re.sub(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$", r"\1", file.parent.name): json.loads(file.read_text())
            for file in sorted(Path(place).glob("*/checks.json"))
        }


def outcomes(modules: Path) -> Iterator[Outcome]:
    """Run both suites."""
    runs = {
        "2025-11-25": run(modules, "conformance-2025", "--suite", "all"),
        "2026-07-28": run(modules, "conformance-2026", "--requirements", "2026-07-28"),
    }
    for era, scenarios in runs.items():
        for scenario, checks in scenarios.items():
            passed = sum(check["status"] == "SUCCESS" for check in checks)
            failed = tuple(
                f"{check['id']}: {check.get('errorMessage', '')}" for check in checks if check["status"] == "FAILURE"
            )
            yield Outcome(era, scenario, passed, failed)


def page(found: list[Outcome]) -> str:
    """Return docs/conformance.md."""
    versions = json.loads((HERE / "package.json").read_text())["dependencies"]
    suites = ", ".join(version.removeprefix("npm:") for name, version in versions.items() if name != "node")
    lines = [
        "# Conformance",
        "",
        f"The official suite ({suites}) runs in CI against `phone-number-mcp http --sandbox`: `make conformance`, which needs Node.",
        "Whatever applies holds. The rest is listed with its reason; a scenario that is in neither list fails the run.",
        "",
        "| protocol | scenario | checks that hold |",
        "| --- | --- | ---: |",
        *(f"| {each.era} | {each.scenario} | {each.passed} |" for each in found if not each.reason),
        "",
        "| protocol | what does not apply | why |",
        "| --- | --- | --- |",
        *(f"| {each.era} | {each.scenario} | {each.reason} |" for each in found if each.reason),
        *(f"| 2026-07-28 | server-stateless, check {check} | {why} |" for check, why in EXCUSED.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Judge; return 0 if all holds that applies, and the page says so."""
    found = list(outcomes(install()))
    faults = [fault for each in found for fault in each.faults]
    for era, names in APPLIES.items():
        ran = {each.scenario for each in found if each.era == era}
        faults += [f"{era} {name}: did not run" for name in names if name not in ran]
    if "--update" in sys.argv:
        PAGE.write_text(page(found), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page(found):
        faults.append(f"{os.path.relpath(PAGE)} does not say what was found: run with --update, and read what changes")
    sys.stdout.write("".join(f"FAILED {fault}\n" for fault in faults))
    sys.stdout.write(f"conformance: {sum(each.passed for each in found if not each.reason)} checks hold\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Settings: read once, checked as a whole, and no fault shows a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phone_number_mcp.errors import NotConfigured
from phone_number_mcp.options import HttpOptions
from phone_number_mcp.settings import ConfigurationError, read
from support.system import POSIX

KEYS = {"ZUDU_API_KEY": "sk_abcdef", "ZUDU_API_SECRET": "s3cr3t_ghijkl"}


def faults(options: dict[str, str], environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(options, environ)
    return raised.value.faults


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = read({}, {})
    assert settings.options.model_dump() == {
        "platform": "zudu",
        "sandbox": False,
        "read_only": False,
        "tools": None,
        "allow_delete": False,
        "confirm": "never",
        "confirm_timeout": 45.0,
        "max_creates": None,
        "journal": None,
        "timeout": 25.0,
        "log_level": "warning",
    }
    assert settings.base_url == "https://api.zudu.ai"


def test_each_option_is_a_variable_too_and_the_option_wins() -> None:
    environ = {
        "PHONE_NUMBER_MCP_PLATFORM": " Zudu ",
        "PHONE_NUMBER_MCP_SANDBOX": "true",
        "PHONE_NUMBER_MCP_READ_ONLY": "1",
        "PHONE_NUMBER_MCP_TOOLS": "get_phone_number, create_phone_number",
        "PHONE_NUMBER_MCP_ALLOW_DELETE": "yes",
        "PHONE_NUMBER_MCP_CONFIRM": "Always",
        "PHONE_NUMBER_MCP_CONFIRM_TIMEOUT": "90",
        "PHONE_NUMBER_MCP_MAX_CREATES": "3",
        "PHONE_NUMBER_MCP_JOURNAL": "~/journal",
        "PHONE_NUMBER_MCP_TIMEOUT": "7.5",
        "PHONE_NUMBER_MCP_LOG_LEVEL": "DEBUG",
    }
    assert read({"timeout": "3"}, environ).options.model_dump() == {
        "platform": "zudu",
        "sandbox": True,
        "read_only": True,
        "tools": ("get_phone_number", "create_phone_number"),
        "allow_delete": True,
        "confirm": "always",
        "confirm_timeout": 90.0,
        "max_creates": 3,
        "journal": "~/journal",
        "timeout": 3.0,
        "log_level": "debug",
    }


def test_the_variables_of_http_stop_nothing_else() -> None:
    assert read({}, {"PHONE_NUMBER_MCP_PORT": "none", "PHONE_NUMBER_MCP_HOST": "192.0.2.1"}).http is None


def test_http_is_served_at_a_port_of_its_own_on_loopback_unless_told_otherwise() -> None:
    assert read({}, {}, http={}).http == HttpOptions(host="127.0.0.1", port=8000)
    environ = {"PHONE_NUMBER_MCP_PORT": " 8123 ", "PHONE_NUMBER_MCP_HOST": "localhost"}
    assert read({}, environ, http={}).http == HttpOptions(host="127.0.0.1", port=8123)
    assert read({}, environ, http={"port": "0", "host": "::1"}).http == HttpOptions(host="::1", port=0)


def test_the_credentials_become_the_two_headers() -> None:
    assert read({}, KEYS).account().headers == {"X-API-KEY": "sk_abcdef", "X-API-SECRET": "s3cr3t_ghijkl"}


def test_settings_never_show_a_secret() -> None:
    shown = repr(read({}, KEYS))
    assert "sk_abcdef" not in shown
    assert "s3cr3t_ghijkl" not in shown


@pytest.mark.parametrize("empty", ["", "  ", "null", "undefined", "NaN"])
def test_what_is_empty_counts_as_not_set(empty: str) -> None:
    settings = read({}, KEYS | {"ZUDU_API_KEY": empty, "PHONE_NUMBER_MCP_TIMEOUT": empty})
    with pytest.raises(NotConfigured, match=r"^ZUDU_API_KEY is not set, so"):
        settings.account()
    assert settings.options.timeout == 25.0


@pytest.mark.parametrize("placeholder", ["${ZUDU_API_KEY}", "${env:X}", "${input:key}", "$ZUDU_API_KEY", "%ZUDU_API_KEY%",
                                         "{{key}}", "<your key>", "sk_…", "${user_config.api_key}"])  # fmt: skip
def test_a_placeholder_counts_as_not_set_and_is_called_one(placeholder: str) -> None:
    settings = read({}, KEYS | {"ZUDU_API_KEY": placeholder, "PHONE_NUMBER_MCP_TIMEOUT": placeholder})
    with pytest.raises(
        NotConfigured, match=r"^ZUDU_API_KEY holds a placeholder, not a value, so Zudu cannot be called$"
    ):
        settings.account()
    assert settings.options.timeout == 25.0


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ZUDU_API_KEY_FILE": "<path>", "ZUDU_API_SECRET": "${X}"},
         "ZUDU_API_KEY_FILE and ZUDU_API_SECRET hold placeholders, not values, so"),
        ({"ZUDU_API_SECRET": "${X}"},
         "ZUDU_API_SECRET holds a placeholder, not a value, and ZUDU_API_KEY is not set, so"),
    ],
)  # fmt: skip
def test_the_variable_that_holds_a_placeholder_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(NotConfigured, match=f"^{words}"):
        read({}, env).account()


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(NotConfigured, match=r"^ZUDU_API_KEY and ZUDU_API_SECRET are not set"):
        read({}, {}).account()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_credential_is_read_from_a_file_without_the_end_of_its_line(tmp_path: Path, end: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"sk_from_file" + end.encode())
    settings = read({}, {"ZUDU_API_KEY_FILE": str(file), "ZUDU_API_SECRET": "s3cr3t_ghijkl"})
    assert settings.account().headers["X-API-KEY"] == "sk_from_file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"sk_one\nsk_two\n", "has a line break in it"),
        (b"\xff\xfe", "not ASCII"),
        (b"x" * 70_000, "too large"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_credential_is_a_fault(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    (fault,) = faults({}, {"ZUDU_API_KEY_FILE": str(file)})
    assert fault.startswith("ZUDU_API_KEY_FILE: ")
    assert words in fault


def test_a_credential_both_ways_is_a_fault(tmp_path: Path) -> None:
    environ = KEYS | {"ZUDU_API_KEY_FILE": str(tmp_path)}
    assert faults({}, environ) == ["ZUDU_API_KEY and ZUDU_API_KEY_FILE are both set: keep one"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sk_abc\n", "line break"),
        ("sk_abc def", "a space"),
        (" sk_abc", "a space"),
        ("sk_äbc", "not ASCII"),
        ("sk_abc\x07", "control character"),
    ],
)
def test_a_key_that_cannot_be_a_header_is_refused_without_being_shown(key: str, words: str) -> None:
    (fault,) = faults({}, KEYS | {"ZUDU_API_KEY": key})
    assert fault.startswith("ZUDU_API_KEY: has ")
    assert words in fault
    assert "bc" not in fault.removesuffix("copy it again, without what stands around it")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.zudu.ai", "must be https"),
        ("ftp://api.zudu.ai", "must be an https address"),
        ("api.zudu.ai", "must be an https address"),
        ("https://", "must be an https address"),
        ("https://user:sk_abcdef@api.zudu.ai", "no user"),
        ("https://api.zudu.ai?x=1", "no query"),
        ("https://api.zudu.ai#", "no fragment"),
        ("https://api.zudu.ai:port", "is not a web address"),
        ("https://api.zudu.ai/a b", "must be an https address"),
        ("http://127.0.0.1.example.com", "must be https"),
    ],
)
def test_a_base_url_that_would_leak_credentials_or_cannot_work_is_refused(url: str, words: str) -> None:
    (fault,) = faults({}, KEYS | {"ZUDU_BASE_URL": url})
    assert words in fault
    assert "sk_abcdef" not in fault


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:80", "https://x.example/zudu"]
)
def test_https_and_loopback_are_taken(url: str) -> None:
    assert read({}, {"ZUDU_BASE_URL": url}).base_url == url


def test_a_guard_with_a_typo_in_its_name_stops_the_start() -> None:
    (fault,) = faults({}, {"PHONE_NUMBER_MCP_READONLY": "1"})
    assert fault == "PHONE_NUMBER_MCP_READONLY: is no setting; did you mean PHONE_NUMBER_MCP_READ_ONLY?"


def test_a_variable_that_resembles_no_setting_gets_the_list_and_no_guess() -> None:
    (fault,) = faults({}, {"PHONE_NUMBER_MCP_RETRIES": "1"})
    assert fault.startswith("PHONE_NUMBER_MCP_RETRIES: is no setting; they are PHONE_NUMBER_MCP_PLATFORM, ")


ZUDU_TOOLS = (
    "get_phone_number, create_phone_number, list_phone_numbers, list_available_phone_numbers, check_phone_number, "
    "import_phone_number, update_phone_number, delete_phone_number, list_agents"
)


@pytest.mark.parametrize(
    ("tools", "wrong"),
    [
        ("list_agent", "list_agent (did you mean list_agents?) is not a tool of Zudu"),
        ("list_agents, release ,get_phone_number", "release is not a tool of Zudu"),
        ("release,get_phone_number", "release is not a tool of Zudu"),
        (
            "get_phone_number  ReleaseIt, list_agents,\tget-phone-number",
            "ReleaseIt, get-phone-number (did you mean get_phone_number?) are not tools of Zudu",
        ),
        ("release,release", "release is not a tool of Zudu"),
        # What may be a secret is told by its place.
        ("list_agents,sk_four", "name 2 (not shown: it may be a secret) is not a tool of Zudu"),
        ("Rk7Zp2Qw9Lx4,list_agents", "name 1 (not shown: it may be a secret) is not a tool of Zudu"),
        ("a" * 41, "name 1 (not shown: it may be a secret) is not a tool of Zudu"),
    ],
)
def test_a_fault_in_tools_names_the_wrong_names_and_what_is_allowed(tools: str, wrong: str) -> None:
    assert faults({"tools": tools}, {}) == [f"--tools: {wrong}; the tools are {ZUDU_TOOLS}"]


def test_the_tools_of_another_platform_are_not_allowed() -> None:
    (fault,) = faults({"platform": "retell", "tools": "list_available_phone_numbers"}, {})
    assert "is not a tool of Retell" in fault


def test_tools_are_separated_by_commas_or_spaces() -> None:
    assert read({"tools": " list_agents  get_phone_number ,list_phone_numbers"}, {}).options.tools == (
        "list_agents",
        "get_phone_number",
        "list_phone_numbers",
    )


def test_the_tool_that_deletes_is_a_fault_without_allow_delete() -> None:
    needs = "delete_phone_number is offered only with --allow-delete (PHONE_NUMBER_MCP_ALLOW_DELETE=true)"
    environ = {"PHONE_NUMBER_MCP_TOOLS": "list_agents,delete_phone_number,release", "PHONE_NUMBER_MCP_TIMEOUT": "x"}
    assert faults({}, environ) == [
        "PHONE_NUMBER_MCP_TIMEOUT: must be a number of seconds",
        f"PHONE_NUMBER_MCP_TOOLS: release is not a tool of Zudu; the tools are {ZUDU_TOOLS}",
        f"PHONE_NUMBER_MCP_TOOLS: {needs}",
    ]
    assert read({"tools": "delete_phone_number", "allow_delete": "true"}, {}).options.tools == ("delete_phone_number",)


def test_with_another_option_that_is_wrong_nothing_is_concluded_from_its_default() -> None:
    for wrong in ("allow_delete", "read_only"):
        (fault,) = faults({"tools": "delete_phone_number", wrong: "perhaps"}, {})
        assert "must be true or false" in fault
    named = faults({"platform": "other", "tools": "list_available_phone_numbers"}, {})
    assert named == ["--platform: must be zudu or retell"]


def test_read_only_beats_tools_unless_no_tool_would_be_left() -> None:
    kept = read({"read_only": "true", "tools": "get_phone_number,create_phone_number,delete_phone_number"}, {})
    assert kept.options.read_only
    (fault,) = faults({"read_only": "true", "tools": "create_phone_number,delete_phone_number"}, {})
    assert fault == "--tools: all these tools change something, and --read-only hides such tools: none would be left"


@POSIX
def test_a_pipe_in_place_of_a_file_does_not_keep_the_start_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (fault,) = faults({}, {"ZUDU_API_KEY_FILE": str(tmp_path / "pipe")})
    assert fault == "ZUDU_API_KEY_FILE: is not a file"


def test_every_fault_is_named_at_once_and_no_value_is_shown() -> None:
    environ = {
        "PHONE_NUMBER_MCP_PLATFORM": "sk_one",
        "PHONE_NUMBER_MCP_TIMEOUT": "sk_two",
        "PHONE_NUMBER_MCP_SANDBOX": "sk_three",
        "PHONE_NUMBER_MCP_TOOLS": "get_phone_number,sk_four",
        "ZUDU_API_KEY": "sk five",
        "ZUDU_BASE_URL": "sk_six",
    }
    named = faults({"log_level": "sk_seven"}, environ)
    assert [fault.partition(":")[0] for fault in named] == [
        "PHONE_NUMBER_MCP_PLATFORM",
        "PHONE_NUMBER_MCP_SANDBOX",
        "PHONE_NUMBER_MCP_TIMEOUT",
        "--log-level",
        "PHONE_NUMBER_MCP_TOOLS",
        "ZUDU_BASE_URL",
        "ZUDU_API_KEY",
    ]
    assert "sk_" not in " ".join(named)


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "601"])
def test_a_timeout_must_be_a_time(timeout: str) -> None:
    (fault,) = faults({"timeout": timeout}, {})
    assert fault.startswith("--timeout: ")


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("~/j", "~/j"),
        (":memory:", ":memory:"),
        ("file:///x/j", "/x/j"),
        ("sqlite:///x/j", "/x/j"),
        ("sqlite:////x/j", "/x/j"),
    ],
)
def test_the_journal_may_be_a_path_or_a_url(written: str, place: str) -> None:
    assert read({"journal": written}, {}).options.journal == place


def test_a_journal_elsewhere_is_a_fault() -> None:
    (fault,) = faults({"journal": "postgres://user:secret@host/x"}, {})
    assert fault == "--journal: must be a path, file:///path, sqlite:///path or :memory:"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_creates", "-1"),
        ("max_creates", "many"),
        ("confirm", "sometimes"),
        ("confirm_timeout", "0.5"),
        ("confirm_timeout", "601"),
        ("confirm_timeout", "nan"),
        ("confirm_timeout", "never"),
    ],
)
def test_a_guard_that_is_not_understood_stops_the_start(option: str, value: str) -> None:
    (fault,) = faults({option: value}, {})
    assert fault.startswith(f"--{option.replace('_', '-')}: must be")


def test_the_sandbox_needs_no_credentials_and_takes_none_from_the_environment() -> None:
    settings = read({"sandbox": "true"}, KEYS | {"ZUDU_BASE_URL": "nonsense"})
    assert not set(KEYS.values()) & set(settings.secrets())
    assert settings.account().headers

"""Settings: read once, from the options and a mapping of environment variables, checked as a whole, then frozen.

No value is ever shown in a fault: what stands in the wrong variable may be a secret. The one exception is a name in `--tools`
that is spelled as the name of a tool may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from phone_number_mcp.errors import NotConfigured
from phone_number_mcp.named_secrets import shown_name
from phone_number_mcp.options import HttpOptions, Options
from phone_number_mcp.platforms import PLATFORMS, Platform, load
from phone_number_mcp.sanitize import MIN_SECRET_LENGTH
from phone_number_mcp.tool import SIMILAR

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from phone_number_mcp.upstream.request import Account

PREFIX = "PHONE_NUMBER_MCP_"
NAMED_SECRET = f"{PREFIX}SECRET_"
"""How the variable of a named secret begins."""
M = TypeVar("M", bound=BaseModel)

# "${X}", "${env:X}", "${{ X }}", "$X", "%X%", "{{X}}", "<your key>", "sk_…": what is left when a client's configuration was
# copied from an example, or the client does not substitute. It counts as not set.
_PLACEHOLDER = re.compile(r"\$\{.*\}|\$[A-Za-z_]\w*|%\w+%|\{\{.*\}\}|<.*>|.*…", re.DOTALL)
# Clients of .mcpb bundles write these for a field that is empty (`getMcpConfigForManifest` in @anthropic-ai/mcpb makes each
# value a string).
_EMPTY = {"", "null", "undefined", "NaN"}
_MAX_SECRET_FILE = 64 * 1024  # bytes; so that a wrong path such as /dev/zero ends
_NAME = re.compile(r"[A-Za-z_-]+")  # how a name of a tool may be written; keys and tokens have digits in them
_LONGEST_NAME = 40
_SECRET_NAME = re.compile("[A-Z0-9_]{1,100}")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ConfigurationError(Exception):
    """The configuration cannot be used. `faults` names every fault, and how to fix it, without any value."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Settings:
    """What the server is configured with.

    Args:
        options: As given, or their defaults.
        platform: The definition of the platform in use.
        base_url: Where it is.
        credentials: By environment variable; only those that are set.
        placeholders: Of credentials that are not set: the variable that holds a placeholder, where one does.
        http: Where to listen, if that was asked for.
        named_secrets: The secrets that an argument may name, by name.
        unset_secrets: Variables of named secrets that hold nothing but a placeholder, or are blank.
    """

    options: Options
    platform: Platform
    base_url: str
    credentials: Mapping[str, SecretStr]
    placeholders: Mapping[str, str] = field(default_factory=dict)
    http: HttpOptions | None = None
    named_secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    unset_secrets: tuple[str, ...] = ()

    @property
    def configured(self) -> bool:
        """Whether all credentials are set."""
        return self.platform.credentials.keys() <= self.credentials.keys()

    def account(self) -> Account:
        """Return whose calls the environment's credentials make.

        Raises:
            NotConfigured: Some are not set; they are named.
        """
        if missing := [name for name in self.platform.credentials if name not in self.credentials]:
            held = [self.placeholders[name] for name in missing if name in self.placeholders]
            unset = [name for name in missing if name not in self.placeholders]
            reasons = []
            if held:
                what = "hold placeholders, not values" if len(held) > 1 else "holds a placeholder, not a value"
                reasons.append(f"{' and '.join(held)} {what}")
            if unset:
                reasons.append(f"{' and '.join(unset)} {'are' if len(unset) > 1 else 'is'} not set")
            raise NotConfigured(f"{', and '.join(reasons)}, so {self.platform.title} cannot be called")
        from phone_number_mcp.upstream.request import Account  # the first call needs it

        values = {name: self.credentials[name].get_secret_value() for name in self.platform.credentials}
        return Account(self.platform.authorize(values), tuple(values.values()))

    def secrets(self) -> list[str]:
        """Return the values that no output may hold."""
        return [value.get_secret_value() for value in (*self.credentials.values(), *self.named_secrets.values())]


def variable(option: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + option.upper()


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder that was not replaced, such as `${X}` or `<your key>`; it counts as not set."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def read(options: Mapping[str, str], environ: Mapping[str, str], *, http: Mapping[str, str] | None = None) -> Settings:
    """Return the settings.

    Args:
        options: From the command line, by name as in `Options`; an option wins over its variable.
        environ: The environment variables.
        http: The same as in `HttpOptions`; None if the server does not listen, so that those variables do not matter.

    Raises:
        ConfigurationError: With every fault that was found.
    """
    settings, faults = examine(options, environ, http=http)
    if faults:
        raise ConfigurationError(faults)
    return settings


def examine(
    options: Mapping[str, str], environ: Mapping[str, str], *, http: Mapping[str, str] | None = None
) -> tuple[Settings, list[str]]:
    """Return what can be used of the settings, and every fault that was found; see `read`."""
    faults: list[str] = []
    chosen, sources, wrong = _chosen(Options, options, environ, faults)
    listening = None if http is None else _chosen(HttpOptions, http, environ, faults)[0]
    faults += _unknown_variables(environ)
    platform = load(chosen.platform)
    if chosen.tools is not None:
        faults += [f"{sources['tools']}: {fault}" for fault in _tool_faults(chosen, platform, wrong)]
    base_url, credentials = platform.base_url, {}
    placeholders: dict[str, str] = {}
    if chosen.sandbox:
        credentials = {name: SecretStr(f"sandbox:{name}") for name in platform.credentials}
    else:
        base_url = _base_url(platform, environ, faults)
        for name in platform.credentials:
            if (secret := _credential(name, environ, faults)) is not None:
                credentials[name] = SecretStr(secret)
            elif held := [each for each in (name, f"{name}_FILE") if is_placeholder(environ.get(each, ""))]:
                placeholders[name] = held[0]
    named, unset = _named_secrets(environ, faults)
    settings = Settings(
        options=chosen,
        platform=platform,
        base_url=base_url,
        credentials=credentials,
        placeholders=placeholders,
        http=listening,
        named_secrets=named,
        unset_secrets=unset,
    )
    return settings, faults


def _chosen(
    model: type[M], options: Mapping[str, str], environ: Mapping[str, str], faults: list[str]
) -> tuple[M, dict[str, str], set[int | str]]:
    """Return the options of a model with defaults for the wrong ones, the source of each, and the names of the wrong ones."""
    given = {name: value for name in model.model_fields if (value := _get(environ, variable(name))) is not None}
    sources = {name: variable(name) for name in given} | {name: "--" + name.replace("_", "-") for name in options}
    try:
        return model.model_validate({**given, **options}), sources, set()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    faults += [_fault(detail, sources) for detail in details]
    # Go on with what can be used, to name the other faults as well.
    wrong = {detail["loc"][0] for detail in details}
    usable = {name: value for name, value in {**given, **options}.items() if name not in wrong}
    return model.model_validate(usable), sources, wrong


def _get(environ: Mapping[str, str], name: str) -> str | None:
    """Return a variable's value; None if it is not set, blank, or a placeholder."""
    value = environ.get(name, "")
    return None if value.strip() in _EMPTY or is_placeholder(value) else value


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a fault for each variable that looks like a setting and is none: a restriction with a typo would restrict nothing."""
    known = {name.upper(): variable(name) for name in (*Options.model_fields, *HttpOptions.model_fields)}
    unknown = sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and not name.startswith(NAMED_SECRET) and name not in known.values()
    )
    if not unknown:
        return []
    import difflib  # only a fault needs it

    # Compared without the prefix, which would make all of them similar.
    nearest = {name: difflib.get_close_matches(name.removeprefix(PREFIX), known, 1, SIMILAR) for name in unknown}
    return [
        f"{name}: is no setting; "
        + (f"did you mean {known[nearest[name][0]]}?" if nearest[name] else f"they are {', '.join(known.values())}")
        for name in unknown
    ]


def _fault(detail: ErrorDetails, sources: Mapping[str, str]) -> str:
    name = str(detail["loc"][0])
    if name == "port":
        return f"{sources[name]}: must be a port, 0 to 65535"
    reason = {
        "bool_parsing": "must be true or false",
        "float_parsing": "must be a number of seconds",
        "int_parsing": "must be a whole number",
    }.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{sources[name]}: {reason}"


def _tool_faults(chosen: Options, platform: Platform, wrong: set[int | str]) -> Iterator[str]:
    """Yield what is wrong with the names in `--tools`.

    Args:
        chosen: The options, with defaults for those that are wrong.
        platform: The platform in use.
        wrong: The options that are wrong: nothing is concluded from their defaults.
    """
    names, title = chosen.tools or (), platform.title
    tools = {tool.name: tool for tool in platform.tools}
    if "platform" in wrong:
        tools, title = {tool.name: tool for name in PLATFORMS for tool in load(name).tools}, "any platform"
    if unknown := [place for place, name in enumerate(names) if name not in tools]:
        shown = [_shown(names[place], place, platform, tools) for place in unknown]
        are = "is not a tool" if len(shown) == 1 else "are not tools"
        yield f"{', '.join(shown)} {are} of {title}; the tools are {', '.join(tools)}"
    known = [tools[name] for name in names if name in tools]
    if {"read_only", "allow_delete"} & wrong:
        return
    if not chosen.read_only and not chosen.allow_delete and (deleting := [tool.name for tool in known if tool.deletes]):
        yield f"{', '.join(deleting)} is offered only with --allow-delete ({variable('allow_delete')}=true)"
    if chosen.read_only and known and len(known) == len(names) and not any(tool.read_only for tool in known):
        yield "all these tools change something, and --read-only hides such tools: none would be left"


def _shown(name: str, place: int, platform: Platform, tools: Iterable[str]) -> str:
    """Return a name that is no tool's, with the likely one. One that may be a secret is not shown, only its place."""
    if (
        len(name) > _LONGEST_NAME
        or not _NAME.fullmatch(name)
        or name.startswith(tuple(filter(None, platform.credentials.values())))
    ):
        return f"name {place + 1} (not shown: it may be a secret)"
    import difflib  # only a fault needs it

    nearest = difflib.get_close_matches(name.lower().replace("-", "_"), tools, n=1, cutoff=SIMILAR)
    return f"{name} (did you mean {nearest[0]}?)" if nearest else name


def _base_url(platform: Platform, environ: Mapping[str, str], faults: list[str]) -> str:
    name = platform.base_url_variable
    value = _get(environ, name)
    if value is None:
        return platform.base_url
    value = value.strip()
    try:
        url = urlsplit(value)
        host, _port = url.hostname, url.port
    except ValueError:
        faults.append(f"{name}: is not a web address")
        return platform.base_url
    if (
        url.scheme not in {"https", "http"}
        or not host
        or not value.isascii()
        or not value.isprintable()
        or " " in value
    ):
        faults.append(f"{name}: must be an https address such as {platform.base_url}")
    elif url.username is not None or "?" in value or "#" in value:
        faults.append(f"{name}: must be scheme, host, port and path only: no user, no query, no fragment")
    elif url.scheme == "http" and host not in _LOOPBACK:
        faults.append(
            f"{name}: must be https; http would show the credentials to the network, and is for loopback only"
        )
    return value


def _named_secrets(environ: Mapping[str, str], faults: list[str]) -> tuple[dict[str, SecretStr], tuple[str, ...]]:
    """Return the named secrets by name, and the variables that hold none although they are there."""
    named: dict[str, SecretStr] = {}
    unset: list[str] = []
    for variable_name in sorted(name for name in environ if name.startswith(NAMED_SECRET)):
        name = variable_name.removeprefix(NAMED_SECRET).removesuffix("_FILE")
        if not _SECRET_NAME.fullmatch(name) or name == "FILE":
            faults.append(
                f"{variable_name}: must be {NAMED_SECRET} and a name in capitals, digits and _, such as TWILIO"
            )
        elif _get(environ, variable_name) is None:
            unset.append(variable_name)
        elif variable_name == f"{NAMED_SECRET}{name}_FILE" and _get(environ, f"{NAMED_SECRET}{name}") is not None:
            pass  # both are set: the fault is found with the other one, which sorts before it
        elif (value := _secret(f"{NAMED_SECRET}{name}", environ, faults, _named_misfit)) is not None:
            named[shown_name(name)] = SecretStr(value)
    return named, tuple(unset)


def _credential(name: str, environ: Mapping[str, str], faults: list[str]) -> str | None:
    return _secret(name, environ, faults, _misfit)


def _secret(
    name: str, environ: Mapping[str, str], faults: list[str], misfit: Callable[[str], str | None]
) -> str | None:
    """Return what a variable holds, or the file that it names with `_FILE`; None if it is not set or is a fault.

    Args:
        name: The variable.
        environ: The environment variables.
        faults: Where a fault is added.
        misfit: Returns why a value cannot be used, without showing it.
    """
    value, path = _get(environ, name), _get(environ, f"{name}_FILE")
    if value is not None and path is not None:
        faults.append(f"{name} and {name}_FILE are both set: keep one")
        return None
    if path is not None:
        name = f"{name}_FILE"
        try:
            value = _read_secret(Path(path.strip()))
        except ValueError as error:
            faults.append(f"{name}: {error}")
            return None
    if value is not None and (problem := misfit(value)):
        faults.append(f"{name}: {problem}")
        return None
    return value


def _read_secret(path: Path) -> str:
    """Return what a file holds, less the end of its line.

    Raises:
        ValueError: It holds no secret; the message never shows what it does hold.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would keep the start waiting
            raise ValueError("is not a file")
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_FILE + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SECRET_FILE:
        raise ValueError("the file is too large to hold one credential")
    value = content.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if not value:
        raise ValueError("the file is empty")
    return value


def _named_misfit(secret: str) -> str | None:
    """Return why a value cannot be a named secret. It goes into a body, not a header: spaces and other letters may be in it."""
    if secret != secret.strip():
        return "has a space or a line break around it; copy it again, without what stands around it"
    if not secret.isprintable():
        return "has a line break or a control character in it; copy it again"
    if len(secret) < MIN_SECRET_LENGTH:  # it could not be kept out of ordinary text
        return "is too short to be a secret"
    return None


def _misfit(secret: str) -> str | None:
    """Return why a credential cannot be sent in a header, without showing it."""
    if "\n" in secret or "\r" in secret:
        return "has a line break in it; copy it again, without the end of the line"
    if any(char.isspace() for char in secret):
        return "has a space in it; copy it again, without what stands around it"
    if not secret.isascii():
        return "has a character in it that is not ASCII; copy it again from the platform"
    if not secret.isprintable():
        return "has a control character in it; copy it again from the platform"
    return None

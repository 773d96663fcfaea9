"""What the packages say of the server, made from the code: the MCP registry's server.json and an .mcpb bundle's files."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from phone_number_mcp import __version__
from phone_number_mcp.options import Options
from phone_number_mcp.platforms import PLATFORMS, Platform, load
from phone_number_mcp.settings import variable

ROOT = Path(__file__).parent.parent
REGISTRY_NAME = "io.github.phone-number-mcp/phone-number-mcp"
"""In the MCP registry: the namespace is the owner of the repository in `project.urls`, who proves it when publishing."""
SCHEMA = "2025-12-11"
"""The version of server.json's schema: https://github.com/modelcontextprotocol/registry, docs/reference/server-json."""


def project() -> dict[str, Any]:
    """Return `[project]` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def pins() -> list[str]:
    """Return the lines of constraints.txt that name a version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def server_json() -> dict[str, Any]:
    """Return the entry for the MCP registry.

    Every setting is an environment variable, because there an empty or unfilled value counts as not set, and because the
    format knows arguments only as `--name=value`, which a flag does not take. Only the platform, which whoever adds the
    server has to choose, is an argument. No setting is there twice: clients would ask twice.
    """
    described = project()
    platform = Options.model_fields["platform"]
    return {
        "$schema": f"https://static.modelcontextprotocol.io/schemas/{SCHEMA}/server.schema.json",
        "name": REGISTRY_NAME,
        "title": "Phone numbers",
        "description": described["description"],
        "version": __version__,
        "websiteUrl": described["urls"]["Homepage"],
        "repository": {"url": described["urls"]["Homepage"], "source": "github"},
        "packages": [
            {
                "registryType": "pypi",
                "identifier": described["name"],
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "packageArguments": [
                    {
                        "type": "named",
                        "name": "--platform",
                        "description": platform.description,
                        "default": platform.default,
                        "choices": [*PLATFORMS],
                    }
                ],
                "environmentVariables": [*_credentials(), *_settings()],
            }
        ],
    }


def plugin_files() -> dict[str, dict[str, Any]]:
    """Return the JSON files of the plugin for Claude Code and of the marketplace in this repository, by path.

    Formats: https://code.claude.com/docs/en/plugins-reference and plugin-marketplaces.
    """
    described = project()
    about = {
        "description": "Phone numbers on voice-AI platforms: the MCP server, and a skill that says how to provision one well."
    }
    names = {"name": "phone-number"} | about
    return {
        ".claude-plugin/marketplace.json": {
            "name": described["name"],
            "owner": described["authors"][0],
            "description": described["description"],
            "plugins": [names | {"source": "./plugin", "category": "productivity"}],
        },
        "plugin/.claude-plugin/plugin.json": names
        | {
            "version": __version__,
            "author": described["authors"][0],
            "homepage": described["urls"]["Homepage"],
            "repository": described["urls"]["Homepage"],
            "license": described["license"],
            "keywords": described["keywords"],
        },
        "plugin/.mcp.json": {"mcpServers": {"phone-number": _plugin_server(described["name"])}},
    }


def _plugin_server(distribution: str) -> dict[str, Any]:
    """Return the entry that starts the server. What is not set becomes blank, which counts as not set."""
    names = [variable("platform"), *(name for each in PLATFORMS for name in load(each).credentials)]
    return {
        "command": "uvx",
        "args": [f"{distribution}@{__version__}"],
        "env": {name: f"${{{name}:-}}" for name in names},
    }


def _credentials() -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = []
    for platform in map(load, PLATFORMS):
        # None is required: which are needed depends on the platform, and without any the server lists its tools.
        variables += [
            {
                "name": name,
                "description": f"A credential of {platform.title}: needed with that platform.",
                "isRequired": False,
                "isSecret": True,
                "format": "string",
            }
            for name in platform.credentials
        ]
        variables.append(
            {
                "name": platform.base_url_variable,
                "description": f"Another address of {platform.title} than {platform.base_url}.",
                "isRequired": False,
                "isSecret": False,
                "format": "string",
            }
        )
    return variables


def _settings() -> list[dict[str, Any]]:
    variables = []
    for name, field in Options.model_fields.items():
        if name == "platform":
            continue
        described: dict[str, Any] = {
            "name": variable(name),
            "description": field.description,
            "isRequired": False,
            "isSecret": False,
            "format": "filepath" if name == "journal" else _format(field.annotation),
        }
        if field.default is not None:
            described["default"] = str(field.default).lower() if field.annotation is bool else str(field.default)
        if get_origin(field.annotation) is Literal:
            described["choices"] = [*get_args(field.annotation)]
        variables.append(described)
    return variables


def _format(annotation: Any) -> str:
    kinds = {annotation, *get_args(annotation)}
    return "boolean" if bool in kinds else "number" if kinds & {int, float} else "string"


def manifest() -> dict[str, Any]:
    """Return a bundle's manifest: `mcpb/manifest.json`, and what is known elsewhere: version, description, platforms, tools.

    The tools are those that every platform offers unless told otherwise. What else there is depends on the settings, which
    `tools_generated` says.
    """
    written: dict[str, Any] = json.loads((ROOT / "packaging/mcpb/manifest.json").read_text(encoding="utf-8"))
    described = project()
    platforms = [load(name) for name in PLATFORMS]
    offered = [{tool.name: tool for tool in platform.tools if not tool.deletes} for platform in platforms]
    common = [tool for name, tool in offered[0].items() if all(name in tools for tools in offered)]
    keys = {name: name.lower() for platform in platforms for name in platform.credentials}
    config = written["server"]["mcp_config"]
    passed_on = {name: f"${{user_config.{key}}}" for name, key in keys.items()} | config["env"]
    asked = {"platform": written["user_config"]["platform"] | _platform_to_ask_for()}
    for platform in platforms:
        for name in platform.credentials:
            asked[keys[name]] = _credential_to_ask_for(name, platform)
    return written | {
        "long_description": written["long_description"].format(
            platforms=" and ".join(platform.title for platform in platforms)
        ),
        "server": written["server"] | {"mcp_config": config | {"env": passed_on}},
        "user_config": asked | {name: each for name, each in written["user_config"].items() if name != "platform"},
        "version": __version__,
        "description": described["description"],
        "author": described["authors"][0],
        "homepage": described["urls"]["Homepage"],
        "repository": {"type": "git", "url": described["urls"]["Homepage"]},
        "license": described["license"],
        "keywords": described["keywords"],
        "tools": [{"name": tool.name, "description": tool.title} for tool in common],
        "compatibility": written["compatibility"] | {"runtimes": {"python": described["requires-python"]}},
    }


def _platform_to_ask_for() -> dict[str, Any]:
    return {"description": f"{' or '.join(PLATFORMS)}.", "default": Options.model_fields["platform"].default}


def _credential_to_ask_for(name: str, platform: Platform) -> dict[str, Any]:
    what = name.removeprefix(f"{platform.name}_".upper()).replace("_", " ").lower().replace("api", "API")
    return {
        "type": "string",
        "title": f"{platform.title} {what}",
        "description": f"Needed for {platform.title}. It goes to {platform.title} and nowhere else.",
        "sensitive": True,
        "required": False,
    }


def bundle_project() -> str:
    """Return the pyproject.toml of a bundle: what uv installs before the first start, at the versions that were tested."""
    described = project()

    def array(items: list[str]) -> str:
        return "[\n" + "".join(f"  {json.dumps(item)},\n" for item in items) + "]"

    return (
        f'[project]\nname = "{described["name"]}"\nversion = "{__version__}"\n'
        f'requires-python = "{described["requires-python"]}"\ndependencies = {array(described["dependencies"])}\n\n'
        f"[tool.uv]\npackage = false\nconstraint-dependencies = {array(pins())}\n"
    )

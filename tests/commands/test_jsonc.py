"""Edits in JSON that people keep by hand: nothing but the new value changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_number_mcp.commands import jsonc
from support.edits import only_put_in

NEW = {"command": "/opt/phone number/bin", "args": ["--sandbox"], "env": {"KEY": "${env:KEY}"}}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
gaps = st.lists(
    st.sampled_from(
        [
            " ",
            "\t",
            "\n",
            "\r\n",
            "\r",
            '// a line, with { and " in it\n',
            "/* a } block\n\n of lines */",
            "/* * */",
            "//\r\n",
        ]
    ),
    max_size=3,
).map("".join)


flags: st.SearchStrategy[Any] = st.booleans()


@st.composite
def documents(draw: st.DrawFn, root: st.SearchStrategy[Any] = values) -> tuple[str, Any]:
    """A JSONC document in any writing, and what it means."""

    def written(value: Any) -> str:
        before, after = draw(gaps), draw(gaps)
        if isinstance(value, dict):
            members = [
                f"{draw(gaps)}{json.dumps(k, ensure_ascii=draw(flags))}{draw(gaps)}:{written(v)}"
                for k, v in value.items()
            ]
            text = "{" + ",".join(members) + ("," if members and draw(flags) else "") + draw(gaps) + "}"
        elif isinstance(value, list):
            items = [written(each) for each in value]
            text = "[" + ",".join(items) + ("," if items and draw(flags) else "") + draw(gaps) + "]"
        else:
            text = json.dumps(value)
        return before + text + after

    value = draw(root)
    return draw(st.sampled_from(["", "\ufeff"])) + written(value), value


objects = documents(st.dictionaries(st.text(), values, max_size=4))


def parsed(text: str) -> jsonc.Value:
    value = jsonc.parse(text, comments=True)
    assert value is not None
    return value


@given(documents())
def test_every_document_means_what_was_written(document: tuple[str, Any]) -> None:
    text, value = document
    root = parsed(text)
    assert root.value == value
    assert jsonc.parse(text[root.start : root.end], comments=True) is not None


@given(values)
def test_plain_json_is_read_as_python_reads_it(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=4)):
        root = jsonc.parse(text, comments=False)
        assert root is not None
        assert root.value == json.loads(text)


@given(objects)
def test_a_member_goes_in_and_every_other_character_stays(document: tuple[str, dict[str, Any]]) -> None:
    text, value = document
    root = parsed(text)
    changed = jsonc.insert(text, root, root, "the new one", NEW)
    assert parsed(changed).value == {**value, "the new one": NEW}
    assert only_put_in(text, changed)


@given(objects)
def test_a_member_goes_into_an_object_within_and_the_rest_is_byte_for_byte(
    document: tuple[str, dict[str, Any]],
) -> None:
    inner, value = document
    inner = inner.removeprefix("\ufeff")
    text = f'{{\n  "before": [1, 2], // kept\n  "servers": {inner},\n  /* kept */ "after": {{}}\n}}\n'
    root = parsed(text)
    servers = root.get("servers")
    assert servers is not None
    changed = jsonc.insert(text, root, servers, "the new one", NEW)
    assert parsed(changed).value == {"before": [1, 2], "servers": {**value, "the new one": NEW}, "after": {}}
    assert changed.startswith(text[: servers.start + 1])
    assert changed.endswith(text[servers.end - 1 :])
    assert only_put_in(text, changed)


@given(objects, st.integers(0, 3))
def test_a_value_is_replaced_and_the_rest_is_byte_for_byte(document: tuple[str, dict[str, Any]], which: int) -> None:
    text, _value = document
    root = parsed(text)
    if which >= len(root.members):
        return
    _key, _start, old = root.members[which]
    changed = jsonc.replace(text, root, old, NEW)
    assert changed.startswith(text[: old.start])
    assert changed.endswith(text[old.end :])
    assert parsed(changed).members[which][2].value == NEW


@given(st.text(alphabet='{}[],:"/*\\ \n1eatrufl.-', max_size=40))
def test_whatever_is_no_json_is_refused_in_one_way(text: str) -> None:
    try:
        read = jsonc.parse(text, comments=False)
    except jsonc.InvalidJSON:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    else:
        assert read is None or read.value == json.loads(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1, column 2: the text ends too early"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a comma or } is missing"),
        ("{'a': 1}", "line 1, column 2: a key in quotes is missing"),
        ('{"a" 1}', "line 1, column 6: a colon is missing"),
        ('{"a": }', "line 1, column 7: a value is missing"),
        ('{"a": 1} x', "line 1, column 10: something follows the end"),
        ('{"a": "b}', "a string that is not closed"),
        ('{"a": 1 /* }', "line 1, column 9: a comment that does not end"),
        ("[" * 5000, "nested too deeply"),
        ("9" * 5000, "a number that is too long"),
        ("\ufeff\r\n\r{", "line 3, column 2"),
    ],
)
def test_a_fault_is_reported_with_its_place(text: str, why: str) -> None:
    with pytest.raises(jsonc.InvalidJSON) as raised:
        jsonc.parse(text, comments=True)
    assert why in str(raised.value)


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a": 1 // why\n}', "/* all */ {}"])
def test_plain_json_has_no_comments_and_no_trailing_commas(text: str) -> None:
    assert parsed(text).end > 0
    with pytest.raises(jsonc.InvalidJSON, match="which this file may not have"):
        jsonc.parse(text, comments=False)


def test_a_key_that_is_there_twice_is_nobodys() -> None:
    root = parsed('{"a": 1, "b": 2, "a": 3}')
    assert root.get("b")
    with pytest.raises(jsonc.InvalidJSON, match='"a" is there 2 times'):
        root.get("a")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{"n": [1]}'),
        ('{"a": 1}', '{"a": 1, "n": [1]}'),
        ("{\n}\n", '{\n  "n": [\n    1\n  ]\n}\n'),
        ('{\n\t"a": {} // why\n}\n', '{\n\t"a": {}, // why\n\t"n": [\n\t\t1\n\t]\n}\n'),
        ('{\r\n    "a": {},\r\n}', '{\r\n    "a": {},\r\n    "n": [\r\n        1\r\n    ],\r\n}'),
        ("{\n  // none yet\n}", '{\n  // none yet\n  "n": [\n    1\n  ]\n}'),
    ],
)
def test_what_goes_in_is_written_as_the_rest_is(before: str, after: str) -> None:
    root = parsed(before)
    assert jsonc.insert(before, root, root, "n", [1]) == after


@given(st.dictionaries(st.text(), values, min_size=1, max_size=4), st.data())
def test_a_member_that_is_removed_is_gone_and_the_comments_between_others_stay(
    document: dict[str, Any], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(list(document)))
    gap = st.sampled_from(["", " ", "\n", "\r\n  ", "/* , */", "// , }\n", "\n// x\n", "/* a */ // b\n\t"])
    text = "{"
    for place, (name, value) in enumerate(document.items()):
        comma = "," if place else ""
        text += f"{data.draw(gap)}{comma}{data.draw(gap)}{json.dumps(name)}{data.draw(gap)}:{json.dumps(value)}"
    text += data.draw(gap) + data.draw(st.sampled_from(["", ","])) + data.draw(gap) + "}"
    root = jsonc.parse(text, comments=True)
    assert root is not None
    after = jsonc.parse(jsonc.remove(text, root, list(document).index(key)), comments=True)
    assert after is not None
    assert after.value == {name: value for name, value in document.items() if name != key}

"""Files of others: a small one that stands for much is an error of one line, and soon."""

from datetime import date

import pytest

from llmrec_prompt.errors import AdapterError, ConfigError
from llmrec_prompt.reading import LARGEST, LONGEST, MOST, parse_yaml, read_json, read_yaml

DOUBLING = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGING = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


def test_what_is_meant_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "shop: &s {data: wein/, users: 3}\nagain: *s\nmore: {<<: *s, users: 4}\nday: 2024-02-29\n"
    )
    shop = {"data": "wein/", "users": 3}
    assert read_yaml(path, ConfigError) == {
        "shop": shop, "again": shop, "more": shop | {"users": 4}, "day": date(2024, 2, 29)
    }  # fmt: skip
    assert parse_yaml("", "nothing", ConfigError) is None
    assert len(parse_yaml(f"[{'1,' * (MOST - 1)}]", "many", ConfigError)) == MOST - 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DOUBLING, f"more than {MOST} values"),
        (MERGING, f"more than {MOST} values"),
        ("a: &a [*a]", "an alias stands within what it stands for"),
        ("a: *a", "undefined alias"),
        ("[" * 100_000, "nested deeper than"),
        ("{a: " * 60_000, "nested deeper than"),
        ("- " * 100_000, "nested deeper than"),
        ("created: 2024-02-30", "day is out of range"),
        ("!!bool maybe", "maybe"),
        ("!!timestamp today", "it is no YAML"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("{[a]: 1}", "unhashable key"),
        ("a: 1" + ":1" * LONGEST, "a number or date of"),
        ("a: 0x" + "f" * 10_000, "a number or date of"),
        (f"[{'1,' * MOST}]", f"more than {MOST} values"),
        ("#" * (LARGEST + 1), "larger than 256 KiB"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, text, said):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    for read in (lambda: read_yaml(path, AdapterError), lambda: parse_yaml(text, str(path), AdapterError)):
        with pytest.raises(AdapterError, match=said) as caught:
            read()
        assert str(caught.value).startswith(f"Cannot read {path}: ")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_files_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(ConfigError, match=r"Cannot read the suite none: No such file or directory\."):
        read_yaml(tmp_path / "none", ConfigError, "the suite none")
    (tmp_path / "a").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8: byte 3"):
        read_yaml(tmp_path / "a", ConfigError)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_yaml(tmp_path, ConfigError)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 50_000, "1" * 5000, " " * (LARGEST + 1)])
def test_json_too_is_read_or_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1]}')
    assert read_json(path, AdapterError) == {"a": [1]}
    path.write_text(text)
    with pytest.raises(AdapterError, match=r"Cannot read .*a\.json: it is (no JSON|larger)") as caught:
        read_json(path, AdapterError)
    assert "\n" not in str(caught.value)

import pytest

from llmrec_prompt.data import Dataset
from llmrec_prompt.data.readers.meta import slips

from ..strategies import catalogue, write_jsonl


def test_slips_are_told_when_loading(tmp_path, caplog):
    write_jsonl(tmp_path / "items.jsonl", catalogue(1))
    meta = {"preference": 3, "kcore": 5, "domian": "shopping", "note": "of the spring"}
    write_jsonl(tmp_path / "meta.json", [meta])
    assert Dataset.load(tmp_path).domain == "generic"
    assert [record.getMessage() for record in caplog.records] == [
        "'preference' belongs under 'cleaning' in meta.json, such as {\"cleaning\": {\"preference\": 3}}.",
        "'kcore' belongs under 'cleaning' in meta.json, such as {\"cleaning\": {\"k_core\": 5}}.",
        "Unknown key 'domian' in meta.json. Did you mean 'domain'?",
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [("Domain", "domain"), ("license", "licence"), ("cleanning", "cleaning"), ("column", "columns")],
)
def test_what_was_meant(key, meant):
    assert slips({key: 1}) == [f"Unknown key {key!r} in meta.json. Did you mean {meant!r}?"]
    assert slips({key: 1, meant: 1}) == []


NOTES = ["name", "source", "lang", "note", "items", "users", "rating_is", "mb", "reference", "main", "core"]


@pytest.mark.parametrize("key", [*NOTES, "licenced_by", "", "cleaned", "columns_dropped", "domain_note"])
def test_notes_of_their_own_are_nobodys_slip(key):
    assert slips({key: 1}) == []

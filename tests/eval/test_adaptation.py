"""What was answered before is taken for what is asked now only where nothing differs."""

import argparse
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import adaptation
import pytest
from adaptation_page import METRICS, command, head, merged

from llmrec_prompt import Dataset
from llmrec_prompt.adapters import find
from llmrec_prompt.backends import load_backend
from llmrec_prompt.cache import NumberStore
from llmrec_prompt.data import leave_last_out
from llmrec_prompt.evaluate.protocols import Ask, exam_of
from llmrec_prompt.evaluate.score_cache import ScoreStore
from llmrec_prompt.rank.identity import code_fingerprint


@pytest.fixture
def table(tmp_path):
    dataset = Dataset.load("sample:movies")
    exam = exam_of(leave_last_out(dataset, users=4, seed=0), Ask(users=4, candidates=8))
    store = ScoreStore(NumberStore(tmp_path / "scores.sqlite", dtype="u1"))
    given = argparse.Namespace(users=4, model="the-label", store=store, without=[])
    given.backend = load_backend("fake:overlap")
    yield adaptation.Table(given, "movies", "uniform", exam, find("smollm2-movies"))
    store.close()


class Group:
    """A group of one ranker that counts how often it is made."""

    made = 0

    def __call__(self, table):
        self.made += 1
        return {"likelihood": table.ranker(None, "likelihood")}


def test_a_second_call_answers_from_what_is_kept(table):
    group = Group()
    first = adaptation.run_group(table, "likelihood", group)
    assert len(first["likelihood"]) == 4
    assert adaptation.run_group(table, "likelihood", group) == first
    assert group.made == 1


def test_another_model_of_the_same_label_is_asked_anew(table):
    group = Group()
    overlap = adaptation.run_group(table, "likelihood", group)
    table.given.backend = load_backend("fake:random")
    assert adaptation.run_group(table, "likelihood", group) != overlap
    table.given.backend = load_backend("fake:overlap")
    assert adaptation.run_group(table, "likelihood", group) == overlap
    assert group.made == 2


def test_other_words_of_the_domain_are_asked_anew(table, tmp_path):
    group = Group()
    adaptation.run_group(table, "likelihood", group)
    folder = tmp_path / "prompts" / "movies"
    folder.mkdir(parents=True)
    (folder / "domain.yaml").write_text("name: movies\nnoun: film\nnouns: films\nverb: saw\n")
    adaptation.run_group(table, "likelihood", group)
    assert group.made == 2


def test_what_must_not_be_computed_is_there_only_if_nothing_differs(table):
    adaptation.run_group(table, "likelihood", Group())
    table.given.without = ["likelihood"]
    assert "likelihood" in adaptation.run_group(table, "likelihood", Group())
    table.given.backend = load_backend("fake:random")
    assert adaptation.run_group(table, "likelihood", Group()) == {}


def test_the_manifest_names_all_that_could_change_an_answer(table):
    adaptation.run_group(table, "likelihood", Group())
    (path,) = Path("runs/adaptation").rglob("manifest.json")
    found = json.loads(path.read_text())
    assert found["code"] == code_fingerprint()
    assert found["model_hash"] == table.given.backend.info.hash
    assert (found["adapter"], found["card"]) == ("", "")


def test_a_card_that_ranks_otherwise_is_another_adapter(table, tmp_path):
    before = adaptation.manifest_of(table, "adapted")
    copy = tmp_path / "copy"
    shutil.copytree(table.adapter.folder, copy)
    text = (copy / "card.yaml").read_text()
    (copy / "card.yaml").write_text(text.replace("centred: false\n", "") + "centred: true\n")
    other = adaptation.Table(table.given, "movies", "uniform", table.exam, find(str(copy)))
    now = adaptation.manifest_of(other, "adapted")
    assert now["adapter"] == before["adapter"]
    assert now["card"] != before["card"]
    assert adaptation.manifest_of(other, "plain") == adaptation.manifest_of(table, "plain")


@pytest.mark.parametrize(
    ("model_hash", "variable", "prefix"),
    [
        ("1234", "", "python "),
        ("1234", "fp32", "LLMREC_PRECISION=fp32 "),
        ("1234-bfloat16", "bf16", "LLMREC_PRECISION=bf16 "),
        ("1234-bfloat16", "", "LLMREC_PRECISION=bf16 "),
    ],
)
def test_the_page_names_the_precision_of_its_rows(monkeypatch, model_hash, variable, prefix):
    monkeypatch.setenv("LLMREC_PRECISION", variable)
    backend = SimpleNamespace(info=SimpleNamespace(hash=model_hash))
    given = argparse.Namespace(users=4, model="hf:smollm2", questions=1, leave_out="", without=[])
    given.backend, given.against, given.out = backend, "encoder", Path("page.md")
    assert command(given, "movies").startswith(prefix)


def test_who_was_asked_about_the_last_items_alone_is_in_no_table_over_several():
    all_of, half_of, none_of = (dict.fromkeys(METRICS, value) for value in (1.0, 0.5, 0.0))
    last = {"a": {"u": all_of, "v": half_of}, "slow": {"u": all_of}}
    assert merged([last, {"a": {"u": none_of}}]) == {"a": {"u": half_of, "v": half_of}}


@pytest.mark.parametrize("name", ["adaptation", "transfer", "together"])
def test_pages_begin_as_they_would_be_written_now(name):
    page = Path(__file__).parents[2] / "docs" / f"results-{name}.md"
    assert page.read_text(encoding="utf-8").startswith(head(page.name))

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from llmrec_prompt.errors import ConfigError, TemplateError, UnknownName
from llmrec_prompt.templates import Prompter, list_domains, load_domain, new_domain, search_path

from .words import domain, items, prompt, write_domain, write_template


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory without a prompts folder."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_explicit_folder_wins_over_working_directory_over_package(tmp_path, elsewhere):
    assert load_domain("movies").noun == "movie"
    write_domain(elsewhere / "prompts", "movies", noun="reel")
    assert load_domain("movies").noun == "reel"
    explicit = write_domain(tmp_path / "mine", "movies", noun="flick")
    assert load_domain("movies", explicit).noun == "flick"
    assert load_domain("books", explicit).noun == "book"
    assert list_domains(explicit)["movies"] == explicit / "movies" / "domain.yaml"
    assert [place.resolve() for place in search_path(explicit)][:2] == [explicit, elsewhere / "prompts"]


def test_the_same_order_holds_for_templates(tmp_path, elsewhere):
    write_template(elsewhere / "prompts", "base/en/history.j2", "working directory\n")
    assert prompt("A") == "working directory\n"
    explicit = write_template(tmp_path / "mine", "base/en/history.j2", "explicit\n")
    assert prompt("A", prompter=Prompter(domain(), prompts=explicit)) == "explicit\n"


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(TemplateError, match=r"no folder of templates at .*typo"):
        load_domain("movies", tmp_path / "typo")
    with pytest.raises(TemplateError, match="no folder"):
        Prompter(domain(), prompts=tmp_path / "typo")


def test_unknown_domain_says_which_is_meant():
    with pytest.raises(UnknownName, match=r"'movis'\. Did you mean 'movies'\? Available: books, "):
        load_domain("movis")


def test_a_domain_file_by_its_path(tmp_path):
    path = write_domain(tmp_path, "cafe", noun="café") / "cafe" / "domain.yaml"
    assert load_domain(str(path)).noun == "café"
    with pytest.raises(TemplateError, match=r"Cannot read .*none\.yaml: No such file"):
        load_domain(str(tmp_path / "none.yaml"))


COMPLETE = "name: shop\nnoun: a\nnouns: b\nverb: c\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (COMPLETE + "nuon: 1\n", ["nuon", "not permitted", "1"]),
        ("name: shop\nnoun: a\nnouns: b\n", ["verb", "required"]),
        ("name: [shop\n", ["is no YAML", "line 1"]),
        ("name: shop\n\tnoun: a\n", ["is no YAML", "line 2"]),
        ("", ["dictionary", "None"]),
        ("- a\n", ["dictionary"]),
        (COMPLETE + "history: 0\n", ["history", "greater than or equal to 1", "0"]),
        (COMPLETE + "history: 201\n", ["history", "200"]),
        (COMPLETE + "numeric: {price: log}\n", ["numeric.price", "min-max", "'log'"]),
        (COMPLETE + "words: {zh: {noun: 物}}\n", ["words.zh.nouns", "required"]),
        (COMPLETE + "language: no\n", ["language", "string", "False"]),
        (COMPLETE.replace("shop", "Bad Name"), ["name", "'Bad Name'"]),
        (COMPLETE.replace("shop", "../shop"), ["name", "'../shop'"]),
        (COMPLETE.replace("shop", "other"), ["'other'", "'shop'"]),
        ("noun: caf\udce9\n", ["is not UTF-8"]),
        ("[" * 10_000, ["nested deeper"]),
        ("".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9 if n else 'x'}]\n" for n in range(12)), ["values"]),
    ],
)
def test_a_faulty_file_is_a_one_line_error(tmp_path, text, parts):
    path = tmp_path / "shop" / "domain.yaml"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TemplateError) as caught:
        load_domain("shop", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message


def test_speak():
    german = domain(words={"de": {"noun": "Ding", "nouns": "Dinge", "person": "Person", "verb": "sah"}})
    spoken = german.speak("de")
    assert (spoken.language, spoken.noun, spoken.nouns, spoken.verb) == ("de", "Ding", "Dinge", "sah")
    assert spoken.name == german.name
    assert german.speak(None) is german.speak("en") is german
    with pytest.raises(
        TemplateError, match=r"'shop' has no words for language 'fr'; it has: en, de\. Add words\.fr"
    ):
        german.speak("fr")


def test_a_language_without_base_templates_is_an_error_unless_the_domain_brings_its_own(tmp_path):
    german = domain(words={"de": {"noun": "Ding", "nouns": "Dinge", "person": "Person", "verb": "sah"}})
    with pytest.raises(TemplateError) as caught:
        Prompter(german, language="de")
    told = str(caught.value)
    assert (
        "no template history.j2, about.j2, item.j2, yes_no.j2, label.j2, listed.j2 for language 'de'" in told
    )
    assert "shop/de/*.j2, base/de/*.j2" in told
    pattern = Path(told.partition("Copy the folder ")[2].partition(" to base/de")[0])
    assert (pattern / "history.j2").is_file()
    write_template(tmp_path, "shop/de/history.j2", "{{ domain.nouns }}:\n")
    write_template(tmp_path, "shop/de/about.j2", "{{ item.title }}")
    write_template(tmp_path, "shop/de/item.j2", "{{ item.title }}")
    own = Prompter(german, language="de", prompts=tmp_path)
    assert prompt("A", prompter=own) == "Dinge:\n"
    assert not own.has("label")
    with pytest.raises(TemplateError, match=r"no template yes_no\.j2, label\.j2, listed\.j2 for"):
        own.label(items("A"), items("B"))


@pytest.mark.parametrize("given", ["DE", "de-AT", "De-at", "EN"])
def test_a_language_in_other_capitals_is_the_same(given):
    words = {"noun": "Ding", "nouns": "Dinge", "person": "Person", "verb": "sah"}
    german = domain(words={"de": words, "de-AT": {**words, "verb": "hat gesehen"}})
    spoken = german.speak(given)
    assert spoken.language == {"de": "de", "de-at": "de-AT", "en": "en"}[given.lower()]
    assert spoken == german.speak(spoken.language)


def test_the_item_line_is_frozen_and_names_are_checked():
    with pytest.raises(ValidationError):
        domain().noun = "other"


@pytest.mark.parametrize(
    ("name", "noun", "nouns"),
    [
        ("board-games", "board game", "board games"),
        ("chess", "chess", "chesss"),
        ("my_shop", "my shop", "my shops"),
    ],
)
def test_new_domain_works_at_once(tmp_path, elsewhere, name, noun, nouns):
    path = new_domain(name, tmp_path)
    assert path == tmp_path / name / "domain.yaml"
    made = load_domain(name, tmp_path)
    assert (made.noun, made.nouns, made.language) == (noun, nouns, "en")
    assert prompt("Chess", prompter=Prompter(made, prompts=tmp_path)).endswith(":\nChess\n")
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert [p.name for p in path.parent.iterdir()] == ["domain.yaml"]  # no partial file is left


def test_new_domain_takes_fields_and_refuses_to_overwrite(tmp_path):
    path = new_domain("wine", tmp_path, noun="葡萄酒", verb="drank", history=5, person=None)
    assert "葡萄酒" in path.read_text(encoding="utf-8")
    made = load_domain("wine", tmp_path)
    assert (made.noun, made.verb, made.history, made.person) == ("葡萄酒", "drank", 5, "person")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"exists already.*--force"):
        new_domain("wine", tmp_path)
    assert path.read_bytes() == before
    new_domain("wine", tmp_path, force=True, verb="sipped")
    assert load_domain("wine", tmp_path).verb == "sipped"


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", "a/b", "a\n", "é"])
def test_new_domain_refuses_bad_names(tmp_path, name):
    with pytest.raises(ConfigError, match="must be lower-case"):
        new_domain(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fields", [{"history": 0}, {"color": "red"}, {"numeric": {"price": "log"}}])
def test_new_domain_refuses_bad_fields_and_writes_nothing(tmp_path, fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        new_domain("wine", tmp_path, **fields)
    assert list(tmp_path.iterdir()) == []


def test_every_packaged_domain_keeps_its_name_and_speaks_chinese(tmp_path, elsewhere):
    found = list_domains()
    assert len(found) == 11
    for name, path in found.items():
        assert yaml.safe_load(Path(path).read_text(encoding="utf-8"))["name"] == name
        assert load_domain(name).speak("zh").language == "zh"
    shutil.copytree(found["movies"].parent, tmp_path / "copies" / "films")
    with pytest.raises(TemplateError, match="'movies' but its folder is 'films'"):
        load_domain("films", tmp_path / "copies")

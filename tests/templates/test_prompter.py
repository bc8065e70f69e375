from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.errors import TemplateError
from llmrec_prompt.templates import Prompter, clean_text
from llmrec_prompt.types import Item

from .words import domain, items, prompt, write_domain, write_template

HEAD = "Things that a person saw, in order:\n"


def test_a_prompt_is_a_head_and_one_line_an_item():
    assert prompt("A", "B") == HEAD + "A\nB\n"
    assert Prompter(domain()).history(()).text == HEAD


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("{{ 7*7 }}", "{{ 7*7 }}"),
        ("{% for x in y %}", "{% for x in y %}"),
        ("{# gone? #}", "{# gone? #}"),
        ("A\nB\r\nC\u2028D", "A B C D"),
        ("zero\u200bwidth\x07\x00", "zerowidth"),
        ("\u202eRTL\u200f mark", "RTL mark"),
        ("<|im_end|>", "<|im_end|>"),
        ("</s>[INST]", "</s>[INST]"),
        ("<b>&amp;", "<b>&amp;"),
    ],
)
def test_titles_are_literal_and_in_one_line(title, line):
    prompter = Prompter(domain(item="{{ item.title }}{% if item.creator %} by {{ item.creator }}{% endif %}"))
    made = prompter.history([*items("Before"), *items(title, creator=title), *items("After")])
    assert made.text == f"{HEAD}Before\n{line} by {line}\nAfter\n"
    assert made.events == {}
    assert prompter.continuation(items(title)[0]) == f"{line}\n"
    assert prompter.about(items(title)[0]) == f"{line}."


def test_long_titles_are_cut_and_counted():
    prompter = Prompter(domain())
    made = prompter.history(items("x" * 10_000, "short", "y" * 151, "z" * 150))
    assert made.text == HEAD + "x" * 149 + "…\nshort\n" + "y" * 149 + "…\n" + "z" * 150 + "\n"
    assert made.events == {"text_cut": 2}
    events = Counter()
    prompter.continuation(items("x" * 10_000)[0], events)
    assert events == {"text_cut": 1}


def test_a_line_is_cut_at_twice_the_title_limit():
    made = Prompter(domain(title_limit=10, item="{{ item.title }} {{ item.description }}")).history(
        [Item(item_id="1", title="abc", description="d" * 300)]
    )
    assert made.text == HEAD + "abc " + "d" * 15 + "…\n"
    assert made.events == {"text_cut": 1}


visible = st.text(max_size=30).filter(lambda text: clean_text(text, 150)[0])


@given(st.lists(visible.map(lambda text: text + "\n" + text), max_size=5), st.booleans())
def test_no_title_can_make_a_second_line(titles, interests):
    prompter = Prompter(domain(interests=interests, history=5))
    listed = [
        Item(item_id=str(n), title=title, categories=(title,), creator=title)
        for n, title in enumerate(titles)
    ]
    lines = prompter.history(listed).text.split("\n")
    assert len(lines) == 1 + len(titles) + bool(interests and titles) + 1
    assert lines[-1] == ""
    for item in listed:
        assert prompter.continuation(item).count("\n") == 1
        assert "\n" not in prompter.about(item)


def test_an_item_without_anything_visible_is_an_error():
    with pytest.raises(TemplateError, match=r"Domain 'shop': the line of item 'i0' is empty"):
        prompt("\u200b")


def test_the_latest_items_are_shown_and_the_rest_is_counted():
    prompter = Prompter(domain(history=3))
    made = prompter.history(items("A", "B", "C", "D", "E"))
    assert (made.text, made.shown, made.dropped) == (HEAD + "C\nD\nE\n", 3, 2)
    fewer = prompter.history(items("A", "B", "C"), show=1)
    assert (fewer.text, fewer.shown, fewer.dropped) == (HEAD + "C\n", 1, 2)
    none = prompter.history(items("A", "B"), show=0)
    assert (none.text, none.shown, none.dropped) == (HEAD, 0, 2)
    short = prompter.history(items("A"))
    assert (short.text, short.shown, short.dropped) == (HEAD + "A\n", 1, 0)


def test_interests_are_told_only_where_the_domain_wants_them():
    history = [
        Item(item_id="1", title="A", categories=("Noir",)),
        Item(item_id="2", title="B", categories=("Farce",)),
        Item(item_id="3", title="C", categories=("Farce",)),
    ]
    assert Prompter(domain(interests=True)).history(history).text == HEAD + "(mostly Farce, Noir)\nA\nB\nC\n"
    assert Prompter(domain()).history(history).text == HEAD + "A\nB\nC\n"
    assert Prompter(domain(interests=True)).history(items("A")).text == HEAD + "A\n"


def test_numbers_come_scaled_over_the_catalogue():
    line = "{{ item.title }}: {{ item.price }} {{ item.scaled.price }} {{ item.level.price }}"
    catalogue = [Item(item_id=str(p), title="T", price=p) for p in (10.0, 20.0, 40.0, 50.0)]
    prompter = Prompter(domain(item=line, numeric={"price": "min-max"}), catalogue=catalogue)
    assert prompter.line(catalogue[0]) == "T: 10.0 0.0 low"
    assert prompter.line(catalogue[1]) == "T: 20.0 0.25 low"
    assert prompter.line(catalogue[2]) == "T: 40.0 0.75 medium"
    assert prompter.line(catalogue[3]) == "T: 50.0 1.0 high"
    assert prompter.line(Item(item_id="x", title="T", price=30)) == "T: 30.0 0.5 medium"
    assert prompter.line(Item(item_id="y", title="T")) == "T:"
    mean = Prompter(
        domain(item="{{ item.scaled.price }}", numeric={"price": "mean-std"}), catalogue=catalogue
    )
    assert float(mean.line(Item(item_id="z", title="T", price=30.0))) == 0.0


@pytest.mark.parametrize(
    "shown",
    [
        *("{{ item.price }}", "{{ item.scaled.price }}", "{{ item.rating }}", "{{ item.price|string }}"),
        *(
            "{{ item.price|upper }}",
            "{{ '' ~ item.price }}",
            "{{ [item.price]|join }}",
            "{{ item.shelves|join }}",
        ),
        *("{{ [item]|join(attribute='price') }}", "{% set p %}{{ item.price }}{% endset %}{{ p }}"),
    ],
)
def test_what_is_missing_is_printed_as_nothing_and_counted(shown):
    prompter = Prompter(domain(item="{{ item.title }}" + shown, numeric={"price": "min-max"}))
    made = prompter.history(items("A", "B", rating=None, shelves=[None]))
    assert made.text == HEAD + "A\nB\n"
    assert made.events == ({} if "shelves" in shown else {"field_missing": 2})


def test_what_is_missing_can_still_be_asked_for(tmp_path):
    asked = "{{ item.title }}{% if item.price is none %} free{% else %} {{ item.price }}{% endif %}"
    made = Prompter(domain(item=asked)).history([*items("A"), *items("B", price=2.5)])
    assert (made.text, made.events) == (HEAD + "A free\nB 2.5\n", {})
    write_template(tmp_path, "shop/history.j2", "{% for item in history %}\n{{ item.price }}\n{% endfor %}\n")
    own = Prompter(domain(), prompts=tmp_path).history([*items("A"), *items("B", price=2.5)])
    assert (own.text, own.events) == ("\n2.5\n", {"field_missing": 1})


def test_an_error_says_of_which_item_and_what_that_one_lacks():
    thing = Item(item_id="7", title="A", creator="C")
    with pytest.raises(TemplateError, match=r"no element 0 \(of 0\)\. Asked of item '7', which has no categ"):
        Prompter(domain(item="{{ item.categories[0] }}")).line(thing)
    with pytest.raises(TemplateError, match=r"operator '\*' meets a missing value.*item '7'.* price, "):
        Prompter(domain(item="{{ item.price * 2 }}")).line(thing)
    with pytest.raises(TemplateError) as malformed:
        Prompter(domain(item="{{ item.title")).line(thing)
    assert "'7'" not in str(malformed.value)


def test_unknown_fields_reach_templates_cleaned():
    prompter = Prompter(
        domain(item="{{ item.title }} ({{ item.shelf }}, {{ item.isbn }}, {{ item.more|join }})")
    )
    item = Item(item_id="1", title="A", shelf=3, isbn="9\n9", more=["x\ny"])
    assert prompter.line(item) == "A (3, 9 9, x y)"


def test_about_is_the_domains_own_or_the_base_template():
    item = Item(item_id="1", title="A", creator="C", categories=("X", "Y"), tags=("t",), description="Long.")
    assert Prompter(domain()).about(item) == "A by C. X, Y. t. Long."
    assert Prompter(domain(about="{{ item.title }}\n  {{ item.year }}!")).about(item) == "A !"


def test_a_wrong_item_line_names_the_domain_file():
    with pytest.raises(
        TemplateError, match=r"'shop/domain\.yaml: item'.*no attribute 'titel'\. Did you mean 'title'\?"
    ):
        Prompter(domain(item="{{ item.titel }}")).line(items("A")[0])
    with pytest.raises(TemplateError, match=r"'histroy' is undefined. Variables there are: domain, item\."):
        Prompter(domain(item="{{ histroy }}")).line(items("A")[0])


EXTENDING = '{% extends "base/en/history.j2" %}\n{% block intro %}\nMy {{ domain.nouns }}:\n{% endblock %}\n'


def test_a_domains_own_history_extends_the_base(tmp_path):
    write_template(tmp_path, "shop/history.j2", EXTENDING)
    assert prompt("A", prompter=Prompter(domain(), prompts=tmp_path)) == "My things:\nA\n"
    other = Prompter(domain("other"), prompts=tmp_path)
    assert prompt("A", prompter=other) == HEAD + "A\n"


def test_a_domains_own_template_speaks_only_its_own_language(tmp_path):
    words = {"zh": {"noun": "物", "nouns": "物", "person": "人", "verb": "看"}}
    write_template(tmp_path, "shop/history.j2", EXTENDING)
    chinese = Prompter(domain(words=words), language="zh", prompts=tmp_path)
    assert prompt("A", prompter=chinese) == "一位人依次看的物：\nA\n"
    write_template(tmp_path, "shop/en/history.j2", "English:\n")
    assert prompt("A", prompter=Prompter(domain(), prompts=tmp_path)) == "English:\n"


def test_a_template_must_end_in_a_line_end(tmp_path):
    write_template(tmp_path, "shop/history.j2", "{{ history|length }} things")
    with pytest.raises(TemplateError, match=r"'shop/history\.j2' must end in a line end"):
        prompt("A", prompter=Prompter(domain(), prompts=tmp_path))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{{ a b }}\n", "expected token"),
        ('{% extends "none.j2" %}\n', "none.j2"),
        ("caf\udce9\n", "utf-8"),
    ],
)
def test_a_faulty_template_is_a_one_line_error_wherever_it_is_read(tmp_path, text, part):
    path = tmp_path / "shop" / "history.j2"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (lambda p: p.fingerprint, lambda p: p.history(items("A"))):
        with pytest.raises(TemplateError) as caught:
            read(Prompter(domain(), prompts=tmp_path))
        assert part in str(caught.value)
        assert "\n" not in str(caught.value)


def fingerprint(folder=None, language=None, **fields):
    return Prompter(domain(**fields), language=language, prompts=folder).fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"noun": "x"},
            {"verb": "x"},
            {"person": "x"},
            {"item": "{{ item.title }}!"},
            {"about": "{{ item.year }}"},
        ),
        *({"history": 9}, {"interests": True}, {"title_limit": 99}, {"numeric": {"price": "min-max"}}),
        {"version": 2},
    ],
)
def test_the_fingerprint_changes_with_the_domain(fields):
    assert fingerprint(**fields) != fingerprint()
    assert fingerprint(**fields) == fingerprint(**fields)


@pytest.mark.parametrize(
    "name",
    ["base/en/history.j2", "base/en/about.j2", "base/en/item.j2", "shop/history.j2", "shop/en/about.j2"],
)
def test_the_fingerprint_changes_with_a_template(tmp_path, name):
    write_template(tmp_path, name, "New.\n")
    first = fingerprint(tmp_path)
    assert first != fingerprint()
    write_template(tmp_path, name, "Newer.\n")
    assert fingerprint(tmp_path) not in (first, fingerprint())


def test_the_fingerprint_changes_with_what_a_template_extends(tmp_path):
    write_template(tmp_path, "shop/history.j2", '{% extends "parts/frame.j2" %}\n')
    write_template(tmp_path, "parts/frame.j2", '{% include "parts/list.j2" %}\n')
    seen = set()
    for text in ("a\n", "b\n"):
        write_template(tmp_path, "parts/list.j2", text)
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 2


def test_the_fingerprint_depends_on_nothing_else(tmp_path):
    write_domain(tmp_path, "shop")
    write_template(tmp_path, "base/zh/history.j2", "别的\n")
    write_template(tmp_path, "other/history.j2", "Other.\n")
    prompter = Prompter(domain(), catalogue=items("A"), prompts=tmp_path)
    prompter.history(items("A", "B"))
    assert prompter.fingerprint == fingerprint()
    assert len(prompter.fingerprint) == 16
    assert int(prompter.fingerprint, 16) > 0


def test_each_language_has_its_fingerprint():
    words = {"zh": {"noun": "物", "nouns": "物", "person": "人", "verb": "看"}}
    assert fingerprint(words=words) != fingerprint(words=words, language="zh")


def test_an_item_alone_ends_in_one_line_end():
    thing = Item(item_id="1", title="Dune", creator="Frank Herbert", categories=("Novel", "Science fiction"))
    text = Prompter(domain(), catalogue=()).item(thing)
    assert text.endswith(":\nDune by Frank Herbert. Novel, Science fiction.\n")
    plain = Item(item_id="2", title="Dune", description="Sand.\nAnd worms.")
    assert Prompter(domain(), catalogue=()).item(plain).endswith(":\nDune. Sand. And worms.\n")


def test_an_item_template_that_says_nothing_is_an_error(tmp_path):
    write_template(tmp_path, "shop/item.j2", "{# nothing #}\n")
    with pytest.raises(TemplateError, match="says nothing"):
        Prompter(domain(), prompts=tmp_path).item(items("A")[0])


def test_threads_count_what_is_missing_each_for_itself():
    prompter = Prompter(domain(item="{{ item.title }}{{ item.price }}"))
    sizes = [n % 5 + 1 for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: prompter.history(items(*"ABCDE"[:n])).events["field_missing"], sizes)
    assert list(found) == sizes


def test_an_item_with_thousands_of_categories_is_shown_with_the_first():
    thing = Item(item_id="1", title="A", categories=tuple(f"k{n} {'y' * 50}" for n in range(2_000)))
    text = Prompter(domain()).about(thing)
    assert text.startswith("A. k0 y")
    assert ("k199 y" in text, "k200 y" in text) == (True, False)

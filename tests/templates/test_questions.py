import pytest

from llmrec_prompt.errors import TemplateError
from llmrec_prompt.templates import Prompter, load_domain
from llmrec_prompt.templates.prompter import LABELS

from .words import domain, items, write_template

HEAD = "Things that a person saw, in order:\nA\nB\n\n"


def test_yes_no_asks_about_one_candidate_and_stops_before_the_answer():
    text = Prompter(domain()).yes_no(items("A", "B"), items("C")[0])
    assert text == HEAD + 'Would the person choose the thing "C" next? Answer Yes or No.\nAnswer:'


def test_label_lists_the_candidates_in_the_order_given():
    text = Prompter(domain()).label(items("A", "B"), items("D", "C"))
    listed = "Candidates for the next thing:\nA. D\nB. C\nWhich letter is it?\nAnswer:"
    assert text == HEAD + listed


def test_questions_show_the_latest_items():
    text = Prompter(domain()).yes_no(items("A", "B"), items("C")[0], show=1)
    assert "\nB\n" in text
    assert "\nA\n" not in text


def test_more_candidates_than_labels_are_refused():
    many = items(*map(str, range(len(LABELS) + 1)))
    with pytest.raises(TemplateError, match="27 candidates are more than 26"):
        Prompter(domain()).label(items("A"), many)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_language_has_both(language):
    prompter = Prompter(load_domain("movies"), language=language)
    assert prompter.yes_no(items("A"), items("Heat")[0]).count("Heat") == 1
    assert "B. Heat" in prompter.label(items("A"), items("Alien", "Heat"))


def test_only_the_templates_of_a_mode_change_its_fingerprint(tmp_path):
    modes = ("encoder", "likelihood", "yes_no", "label")
    before = {mode: Prompter(domain()).fingerprint_for(mode) for mode in modes}
    assert before["encoder"] == before["likelihood"] == Prompter(domain()).fingerprint
    assert len(set(before.values())) == 3
    write_template(tmp_path, "shop/label.j2", '{% extends "base/en/label.j2" %}\n')
    after = {mode: Prompter(domain(), prompts=tmp_path).fingerprint_for(mode) for mode in modes}
    assert {mode for mode in modes if before[mode] != after[mode]} == {"label"}


def test_the_history_is_a_part_of_every_question(tmp_path):
    before = Prompter(domain()).fingerprint_for("yes_no")
    write_template(tmp_path, "base/en/history.j2", "{% block items %}Seen.\n{% endblock %}\n")
    assert Prompter(domain(), prompts=tmp_path).fingerprint_for("yes_no") != before

import yaml

from llmrec_prompt.adapters import Base, Lora, Parent, readme, write_readme

from .made import card


def front_matter(text):
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


def test_the_front_matter_is_what_the_hub_reads():
    found = front_matter(readme(card(base=Base(ref="smollm2", hash="x", hub="org/base"))))
    assert found == {
        "library_name": "peft",
        "base_model": "org/base",
        "license": "cc-by-4.0",
        "language": ["en"],
        "tags": ["lora", "recommender", "llmrec-prompt", "movies"],
    }


def test_a_licence_without_a_name_on_the_hub_is_stated_as_text():
    found = front_matter(readme(card(licence="MovieLens: research use, see README")))
    assert found["license"] == "other"
    assert found["license_name"] == "MovieLens: research use, see README"


def test_it_says_what_a_reader_must_know():
    text = readme(
        card(
            parents=(Parent(name="general", hash="1", weight=0.5), Parent(name="other", hash="2")),
            lora=Lora(r=4, alpha=8, targets=("q_proj",), layers=(20, 21)),
        )
    )
    for part in (
        "## What it is for", "## How to use it", "## Training data and licence", "## Metrics", "## Limits",
        "rank 4 on q_proj in 2 layers", "`general` (weight 0.5), `other`",
        '--domain movies --adapter toy-movies --model smollm2', 'adapter="toy-movies"',
        "| toy | 2 | 9 | CC BY 4.0 |", "| validation | ndcg@10 uniform | 0.5123 |",
        "catalogue 0.8, popular 0", "These are pseudonyms: whoever can list the users' ids",
    ):  # fmt: skip
        assert part in text


def test_what_is_not_known_is_not_made_up():
    text = readme(card(domain="general", metrics={}, popularity={}, licence="", templates={}))
    assert "any domain" in text
    assert "## Metrics" not in text
    assert "popularity" not in text
    assert "Licence of the adapter: not stated." in text
    assert front_matter(text)["license"] == "other"


def test_an_adapter_that_answers_questions_is_said_to_rank():
    text = readme(card(mode="label"))
    assert "serves the ranking mode `label`" in text
    assert "nothing ranks" not in text


def test_it_is_written_into_the_folder(tmp_path):
    assert write_readme(card(), tmp_path).read_text() == readme(card())

import json

import pytest

from llmrec_prompt.backends import Hosted, load_backend
from llmrec_prompt.backends.openai.record import VERSION, Record
from llmrec_prompt.errors import BackendError, ConfigError, Unsupported
from llmrec_prompt.rank import LabelRanker, LikelihoodRanker, ListedRanker

from ...rank.toys import prompter
from .server import MODEL, VOCABULARY, Ways, serving

CHAT_ONLY = {"completions": False, "embeddings": False}


def record(hosted, **ways):
    return hosted(Ways(**ways))[1].record


def test_a_server_that_gives_all(hosted):
    found = record(hosted)
    assert found.can == {"score", "choose", "generate", "schema", "embed"}
    assert (found.completions_top, found.chat_top, found.context, found.dimensions) == (20, 20, 512, 8)
    assert (found.echo, found.echo_tokens, found.schema_form) == ("echo", 0, "json_schema")
    assert found.remarks == {}


@pytest.mark.parametrize("shape", ["legacy", "chat"])
def test_either_shape_will_do(hosted, shape):
    assert record(hosted, shape=shape).completions_top == 20


@pytest.mark.parametrize(("cap", "found"), [(1000, len(VOCABULARY)), (50, 20), (20, 20), (7, 5)])
def test_the_cap_on_likeliest_tokens_is_found(hosted, cap, found):
    """A server that takes any number shows all tokens that this small model has."""
    assert record(hosted, top=cap).completions_top == found


def test_an_echo_off_by_one_is_refused_with_both_numbers(hosted):
    _, backend = hosted(Ways(echo="shifted"))
    assert "score" not in backend.info.can
    with pytest.raises(
        Unsupported, match=r"'score'.*misaligned by a token.*' nine' has .* and -0.50 as next"
    ):
        LikelihoodRanker(backend, prompter())


@pytest.mark.parametrize(
    ("echo", "why"), [("silent", "without the prompt's log-prob"), ("refused", "echo is not supported")]
)
def test_no_echo_is_no_likelihood(hosted, echo, why):
    found = record(hosted, echo=echo)
    assert "score" not in found.can
    assert why in found.remarks["score"]


def test_prompt_logprobs_serve_where_there_is_no_echo(hosted):
    found = record(hosted, echo="refused", prompt_logprobs=True)
    assert found.echo == "prompt_logprobs"
    assert "score" in found.can


def test_log_probabilities_that_stay_away_with_status_200(hosted):
    _, backend = hosted(Ways(logprobs=False))
    assert backend.info.can == {"generate", "schema", "embed"}
    with pytest.raises(Unsupported, match=r"'choose'.*answered without log-probabilities"):
        LabelRanker(backend, prompter())


def test_chats_alone_degrade_labels_and_say_so(hosted):
    _, backend = hosted(Ways(**CHAT_ONLY))
    assert backend.info.can == {"choose", "generate", "schema"}
    assert "asked as a chat, of which the 20 likeliest" in backend.info.remarks["choose"]
    assert "This is a chat model" in backend.info.remarks["score"]


@pytest.mark.parametrize(
    ("schema", "form", "remark"),
    [
        ("json_schema", "json_schema", ""),
        ("json_object_schema", "json_object_schema", ""),
        ("json_object", "json_object", "kept to JSON, not to the schema"),
        ("ignored", "", "the server ignores the schema"),
    ],
)
def test_how_json_is_kept_to(hosted, schema, form, remark):
    found = record(hosted, schema=schema)
    assert found.schema_form == form
    assert ("schema" in found.can) == bool(form)
    assert remark in found.remarks.get("schema", "")


def test_a_model_that_thinks_unless_told_is_told(hosted):
    server, backend = hosted(Ways(thinks="unless told", **CHAT_ONLY))
    assert backend.record.extra == {"chat_template_kwargs": {"enable_thinking": False}}
    assert not backend.record.thinks
    backend.choose(["Which?\nAnswer:"], [" A", " B"])
    assert server.bodies()[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_model_that_always_thinks_has_no_labels_but_lists(hosted):
    server, backend = hosted(Ways(thinks="always", **CHAT_ONLY), thinking_tokens=500)
    assert backend.record.thinks
    with pytest.raises(Unsupported, match="the model thinks first"):
        LabelRanker(backend, prompter())
    ListedRanker(backend, prompter())
    assert backend.generate([{"role": "user", "content": "1. a\n2. b"}], max_tokens=9).startswith("{")
    assert server.bodies()[0]["max_tokens"] == 509


def test_the_newer_name_of_the_limit_and_no_temperature(hosted):
    server, backend = hosted(Ways(limit="max_completion_tokens", takes_temperature=False, **CHAT_ONLY))
    backend.generate([{"role": "user", "content": "hi"}], max_tokens=9)
    (body,) = server.bodies()
    assert body["max_completion_tokens"] == 9
    assert "temperature" not in body
    assert "max_tokens" not in body


def test_a_record_is_kept_for_server_and_model_and_probed_anew_on_request(hosted):
    server, backend = hosted()
    kept = json.loads(backend.record.path.read_text())
    assert kept["base_url"] == server.url
    assert hosted.connect(server).record == backend.record
    assert server.seen == []
    server.ways.embeddings = False
    assert "embed" in hosted.connect(server).info.can
    assert "embed" not in hosted.connect(server, refresh=True).info.can
    assert "embed" not in hosted.connect(server).info.can


def test_a_login_in_the_url_is_used_and_neither_kept_nor_shown(hosted):
    server, _ = hosted()
    url = server.url.replace("//", "//me:s3cret@")
    with pytest.raises(ConfigError, match="Run once: llmrec models show") as caught:
        load_backend(f"openai:{MODEL}", hosted=Hosted(base_url=url, preview=True))
    assert f"--base-url {server.url}" in str(caught.value)
    backend = load_backend(f"openai:{MODEL}", hosted=Hosted(base_url=url))
    backend.close()
    assert server.seen[-1][2]["Authorization"].startswith("Basic ")
    assert backend.record.base_url == server.url
    assert "s3cret" not in backend.record.path.read_text()
    assert Record.known(url, MODEL) == backend.record
    assert len(list(backend.record.path.parent.glob("*.json"))) == 2, "another login, another record"


def test_a_record_of_another_version_is_not_believed(hosted):
    _, backend = hosted()
    path = backend.record.path
    path.write_text(path.read_text().replace(f'"version": {VERSION}', '"version": 0'))
    assert Record.known(backend.record.base_url, MODEL) is None
    path.write_text("{")
    assert Record.known(backend.record.base_url, MODEL) is None


def test_a_server_of_nothing_says_what_to_check(hosted):
    with pytest.raises(
        BackendError, match=r"answers neither.*Not Found.*Check --base-url and the model's name"
    ):
        hosted(Ways(completions=False, chat=False, embeddings=False))


def test_a_mode_that_cannot_be_names_those_that_can(hosted):
    _, backend = hosted(Ways(echo="refused"))
    with pytest.raises(Unsupported, match="a mode it can do: --mode label --retrieve 20 or --mode listed"):
        LikelihoodRanker(backend, prompter())
    _, backend = hosted(Ways(echo="refused", logprobs=False))
    with pytest.raises(Unsupported, match=r"a mode it can do: --mode listed\.$"):
        LikelihoodRanker(backend, prompter())


def test_a_server_that_is_not_there(apart):
    with serving() as server:
        url = server.url
    with pytest.raises(
        BackendError, match="Cannot reach the server of openai:hash-1 after 2 attempts"
    ) as caught:
        load_backend(f"openai:{MODEL}", hosted=Hosted(base_url=url.replace("//", "//me:secret@")))
    assert caught.value.retryable
    assert f" at {url}: " in str(caught.value), "where, but not as whom"


def test_a_refused_key_is_an_error_not_a_missing_capability(hosted, monkeypatch):
    ways = Ways(fault=lambda number, path: (401, {}, "Incorrect API key"))
    with pytest.raises(BackendError, match=r"401.*No key was sent: set OPENAI_API_KEY"):
        hosted(ways)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with pytest.raises(BackendError, match=r"401.*The key in OPENAI_API_KEY was refused") as caught:
        hosted(ways)
    assert "secret" not in str(caught.value)


def test_where_nothing_is_answered_the_end_of_the_url_is_a_guess(apart):
    with serving() as server, pytest.raises(BackendError, match=r"--base-url \(it usually ends in /v1\) and"):
        load_backend(f"openai:{MODEL}", hosted=Hosted(base_url=server.url.removesuffix("/v1")))


@pytest.mark.parametrize("place", ["127.0.0.1:8765/v1", "me:secret@localhost/v1"])
def test_a_url_without_a_scheme_says_what_is_missing(apart, place):
    with pytest.raises(ConfigError, match="does not begin with http:// or https://: add it") as caught:
        load_backend(f"openai:{MODEL}", hosted=Hosted(base_url=place))
    assert "secret" not in str(caught.value)


def test_a_name_that_the_server_does_not_list_is_told_once(hosted, caplog):
    server, _ = hosted()
    assert caplog.messages == []
    backend = hosted.connect(server, model="tiny")
    told = f"the server lists {MODEL}, not tiny"
    assert caplog.messages == [f"openai:tiny: {told}. Another model may be answering under this name."]
    hosted.connect(server, model="tiny")
    assert len(caplog.messages) == 1
    assert backend.record.missing["model"] == told


@pytest.mark.parametrize("name", [None, f"org/{MODEL}", f"{MODEL}:latest"])
def test_lists_without_names_and_with_longer_ones_are_no_remark(hosted, caplog, name):
    _, backend = hosted(Ways(models=[{"id": name}]))
    assert caplog.messages == []
    assert "model" not in backend.record.missing

import json

import pytest

from ..backends.hosted.server import MODEL, serving

REF = f"openai:{MODEL}"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


def test_without_hosted_the_answer_is_no(llmrec, server):
    done = llmrec("models", "show", REF, "--base-url", server.url)
    assert done.code == 1
    assert "--hosted" in done.err
    assert server.seen == []


def test_the_record_is_shown(llmrec, server):
    done = llmrec("models", "show", REF, "--hosted", "--base-url", server.url, "--json")
    facts = json.loads(done.out)
    assert facts["can"] == ["choose", "embed", "generate", "schema", "score"]
    assert facts["completions_top"] == 20
    assert "echo" in llmrec("models", "show", REF, "--hosted", "--base-url", server.url).out


def test_a_login_in_the_url_is_not_shown(llmrec, server):
    url = server.url.replace("//", "//me:s3cret@")
    for more in ((), ("--json",)):
        done = llmrec("models", "show", REF, "--hosted", "--base-url", url, *more)
        assert done.code == 0, done.err
        assert server.url in done.out
        assert "s3cret" not in done.out + done.err


def test_names_that_a_server_gives_do_nothing_to_a_terminal(llmrec_process, server):
    server.ways.models = [{"id": "\x1b]0;owned\x07\x1b[2Jone\nError: two", "max_model_len": 512}]
    done = llmrec_process("models", "show", REF, "--hosted", "--base-url", server.url)
    assert done.code == 0, done.err
    assert "the server lists \ufffd]0;owned\ufffd\ufffd[2Jone Error: two, not" in done.err
    assert not {"\x1b", "\x07"} & {*done.out, *done.err}


def test_recommend_and_preview(llmrec, server, tmp_path):
    settings = tmp_path / "hosted.yaml"
    settings.write_text(f"ledger: {tmp_path / 'ledger.jsonl'}\n")
    where = ("--model", REF, "--hosted", "--base-url", server.url, "--mode", "listed")
    where += ("--embedder", "backend")
    what = ("--data", "sample:movies", "--history", "Alien (1979)")
    done = llmrec("recommend", *what, *where, "--hosted-settings", str(settings), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["provenance"]["mode"] == "listed"
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) >= 1
    sent = len(server.seen)
    shown = llmrec("prompts", "show", *what, *where)
    assert shown.code == 0, shown.err
    path, body = shown.out.split("\n")[:2]
    assert path.startswith("POST /")
    assert json.loads(body)["model"] == MODEL
    first = llmrec("prompts", "show", *what, *where, "--json").json[0]
    assert (f"POST {first['path']}", first["body"]) == (path, json.loads(body))
    assert len(server.seen) == sent


def test_a_preview_is_of_as_many_candidates_as_asked_for(llmrec, server):
    what = ("--data", "sample:movies", "--history", "Alien (1979)", "--mode", "label", "--retrieve", 12)
    where = ("--model", REF, "--hosted", "--base-url", server.url, "--embedder", "minilm")
    assert llmrec("models", "show", *where[1:5]).code == 0
    shown = llmrec("prompts", "show", *what, *where)
    assert shown.code == 0, shown.err
    assert "\\nL. " in shown.out
    assert "\\nM. " not in shown.out


def test_an_evaluation_goes_through_the_server_if_it_may(llmrec, server, tmp_path):
    what = ("--data", "sample:movies", "--users", "3", "--candidates", "5", "--rankers", "label")
    what += ("--embedder", "backend", "--model", REF, "--base-url", server.url)
    assert llmrec("eval", "run", *what, "--out", str(tmp_path / "no")).code == 1
    assert server.seen == []
    done = llmrec("eval", "run", *what, "--out", str(tmp_path / "run"), "--hosted", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["users"] == 3
    assert len(server.bodies("/completions")) >= 3 * 4


@pytest.mark.parametrize("option", ["--base-url", "--hosted-settings"])
def test_what_is_of_no_use_without_leave_says_so(llmrec, option):
    done = llmrec("recommend", "--data", "sample:movies", "--history", "Alien", option, "http-or-file")
    assert done.code == 1
    assert f"{option} needs --hosted" in done.err


def test_an_evaluation_that_its_server_or_budget_ends_says_how_it_goes_on(llmrec, server, tmp_path):
    settings = tmp_path / "hosted.yaml"
    settings.write_text("budget_tokens: 2500\n")
    what = ("--data", "sample:movies", "--users", "8", "--candidates", "5", "--rankers", "label", "--hosted")
    what += ("--embedder", "backend", "--model", REF, "--base-url", server.url, "--hosted-settings", settings)
    done = llmrec("eval", "run", *what, "--out", tmp_path / "run")
    assert done.code == 1
    assert "The budget is used up" in done.err
    assert done.err.endswith("Say the same with --resume to go on where it was.\n")

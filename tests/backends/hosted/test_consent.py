"""Nothing leaves this machine unless the user said so, and then nothing but what is allowed."""

import re
import socket

import pytest

from llmrec_prompt.backends import Hosted, hosting, load_backend
from llmrec_prompt.backends.openai import Previewed
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError, TemplateError
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.types import Interaction, Item

from ...rank.toys import items
from .server import MODEL, Ways, serving

REF = f"openai:{MODEL}"


@pytest.fixture
def no_sockets(monkeypatch):
    """Whoever opens a socket fails."""

    def refuse(*arguments, **more):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def test_no_socket_is_opened_by_a_recommendation(no_sockets):
    for mode in ("fused", "likelihood", "label", "yes_no", "encoder", "popularity"):
        rec = Recommender("sample:movies", model="fake:overlap", mode=mode, embedder="backend", candidates=20)
        assert rec.recommend(["Alien (1979)", "Blade Runner (1982)"], k=3, explain=True).recommendations


def test_the_guard_would_see_a_call(no_sockets):
    with pytest.raises(AssertionError, match="a socket was opened"):
        socket.create_connection(("127.0.0.1", 9))


def test_without_leave_nothing_is_sent(no_sockets):
    for act in (lambda: load_backend(REF), lambda: Recommender("sample:movies", model=REF)):
        with pytest.raises(ConfigError, match=r"would leave this machine.*--hosted, or hosted=Hosted\(...\)"):
            act()


def test_offline_wins_over_leave(no_sockets, monkeypatch):
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    with pytest.raises(ConfigError, match="LLMREC_OFFLINE forbids the network"):
        load_backend(REF, hosted=Hosted(base_url="http://127.0.0.1:9/v1"))


def test_leave_of_a_block_ends_with_it():
    with serving() as server, hosting(Hosted(base_url=server.url)):
        load_backend(REF).close()
    with pytest.raises(ConfigError, match="would leave this machine"):
        load_backend(REF)


def test_another_machine_needs_a_key(no_sockets):
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY"):
        load_backend(REF, hosted=Hosted(base_url="https://api.example.org/v1"))


SECRETIVE = Item(
    item_id="id-of-the-shop",
    title="Mug for me@home.example, +49 30 1234567",
    creator="Potter",
    description="Call 555-867-5309",
    owner="user-4711",
)


def recommender(server, **settings):
    catalogue = [SECRETIVE, *items("abcdefgh")]
    rows = [
        Interaction("user-4711", name, None, float(time)) for time, name in enumerate(["id-of-the-shop", "a"])
    ]
    data = Dataset.from_rows(catalogue, rows)
    leave = Hosted(base_url=server.url, **settings.pop("hosted", {}))
    return Recommender(data, domain="shopping", model=REF, embedder="backend", hosted=leave, **settings)


@pytest.mark.parametrize("mode", ["label", "listed", "likelihood", "yes_no"])
def test_neither_users_nor_redacted_texts_are_sent(mode):
    with serving(Ways(top=1000)) as server:
        rec = recommender(server, mode=mode)
        server.forget()
        rec.recommend(user="user-4711", k=3)
        rec.backend.close()
        sent = b"\n".join(body for _, body, _ in server.seen).decode()
    assert "Mug for [e-mail], [phone]" in sent
    for secret in ("user-4711", "me@home", "1234567", "867-5309", "id-of-the-shop"):
        assert secret not in sent, secret


@pytest.mark.parametrize("given", ["model", "backend"])
@pytest.mark.parametrize("own", ["jane.roe@home-of-jane.example", "4111 1111 1111 1111", "+49 30 1234567"])
def test_what_is_taken_out_goes_before_long_titles_are_cut(own, given):
    """Half an address is no address to a pattern, and whose it is can be read all the same."""
    with serving(Ways(top=1000)) as server:
        leave = Hosted(base_url=server.url)
        model = load_backend(REF, hosted=leave) if given == "backend" else REF
        titled = [Item(item_id=str(n), title=f"{'x' * (n - 1)} {own}") for n in range(100, 150, 3)]
        rec = Recommender(Dataset.from_rows(titled, []), domain="shopping", model=model, mode="listed",
                          hosted=leave, embedder="backend")  # fmt: skip
        server.forget()
        rec.rank(["100"], candidates=[item.item_id for item in titled[1:]])
        rec.backend.close()
        sent = b"\n".join(body for _, body, _ in server.seen).decode()
    assert f"{'x' * 99} [" in sent
    assert not re.search(r"x (j|4|\+)", sent)


def test_a_field_nobody_allowed_cannot_be_shown(tmp_path):
    shop = tmp_path / "shopping"
    shop.mkdir()
    line = "item: '{{ item.title }} of {{ item.owner }}'"
    (shop / "domain.yaml").write_text(f"name: shopping\nnoun: thing\nnouns: things\nverb: bought\n{line}\n")
    with serving() as server:
        rec = recommender(server, mode="listed", prompts=tmp_path)
        with pytest.raises(TemplateError, match="no attribute 'owner'"):
            rec.recommend(user="user-4711")
        allowed = recommender(
            server, mode="listed", prompts=tmp_path, hosted={"fields": ("title", "owner"), "preview": False}
        )
        with pytest.raises(TemplateError, match="no attribute 'owner'"):
            allowed.rank(["A"], candidates=["B", "C"])  # items without one
        for each in (rec, allowed):
            each.backend.close()
        assert b"of user" not in b"".join(body for _, body, _ in server.seen)


def test_hiding_a_field_changes_the_fingerprint_allowing_all_does_not():
    with serving() as server:
        usual = recommender(server).prompter.fingerprint
        hidden = recommender(server, hosted={"fields": ("title",)}).prompter.fingerprint
    local = Recommender("sample:movies", domain="shopping", model="fake:overlap").prompter.fingerprint
    assert usual == local != hidden


def test_settings_without_title_or_of_no_sense_are_refused(tmp_path):
    path = tmp_path / "hosted.yaml"
    path.write_text("concurrency: 0\nfields: [year]\nredact: ['(']\nkey: sk-1\n")
    with pytest.raises(ConfigError, match=r"hosted\.yaml: .*concurrency.*fields.*redact.*key"):
        Hosted.load(path)
    path.write_text("budget_token: 5\napi_key: sk-1\n")
    with pytest.raises(ConfigError) as caught:
        Hosted.load(path)
    assert "unknown key 'budget_token' (did you mean 'budget_tokens'?)" in str(caught.value)
    assert "'api_key' is no setting" in str(caught.value)
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "sk-1" not in str(caught.value)
    path.write_text("concurrency: 2\nbudget_tokens: 10\n")
    assert Hosted.load(path, base_url="http://x/v1").budget_tokens == 10


@pytest.mark.parametrize("mode", ["label", "listed", "likelihood"])
def test_a_preview_is_what_is_sent_byte_for_byte(mode):
    with serving() as server:
        recommender(server, mode=mode).backend.close()  # the server is known now
        server.forget()
        shown = recommender(server, mode=mode, hosted={"preview": True})
        with pytest.raises(Previewed) as caught:
            shown.recommend(user="user-4711")
        shown.backend.close()
        assert server.seen == []
        rec = recommender(server, mode=mode)
        rec.recommend(user="user-4711", k=3)
        rec.backend.close()
        sent = [(path.removeprefix("/v1"), body) for path, body, _ in server.seen]
    assert set(caught.value.calls) <= set(sent)
    assert len(caught.value.calls) >= 1


def test_a_preview_of_an_unknown_server_says_how_it_becomes_known(no_sockets):
    words = f"Run once: llmrec models show {REF} --hosted --base-url http://127.0.0.1:9/v1"
    with pytest.raises(ConfigError, match=words):
        load_backend(REF, hosted=Hosted(base_url="http://127.0.0.1:9/v1", preview=True))

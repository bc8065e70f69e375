"""What runs behind an address may change: no answer of another model or adapter is taken for its own."""

import pytest

from llmrec_prompt.backends import ScoreRequest, adapter_identity, parse_ref
from llmrec_prompt.backends.openai.record import VERSION, Record
from llmrec_prompt.backends.openai.serverside import find_served
from llmrec_prompt.cache import file_hash
from llmrec_prompt.errors import AdapterError

from .server import MODEL, Ways, likelihood

PROMPT, LINE = "x y\n", " a b"


def loras(*paths):
    return [{"id": place, "path": path} for place, path in enumerate(paths)]


def said(backend, adapter=None):
    backend.use(adapter)
    return backend.score([ScoreRequest(PROMPT, [LINE])])[0][0].logprob


def truth(before):
    return pytest.approx(likelihood(before + PROMPT, LINE))


def looked_up(server):
    return [path for path, _, _ in server.seen if path == "/lora-adapters"]


def test_another_adapter_at_the_same_id_is_asked_anew(hosted):
    server, backend = hosted(Ways(lora=loras("/l/old.gguf")))
    assert said(backend, "old") == truth("/l/old.gguf")
    server.ways.lora = loras("/l/new.gguf")
    assert said(hosted.connect(server), "new") == truth("/l/new.gguf")


def test_after_a_refresh_nothing_is_known_of_what_was_there_before(hosted):
    """As after a training that wrote its adapter where the last one was."""
    server, backend = hosted(Ways(lora=loras("/l/games.gguf")))
    first = {adapter: said(backend, adapter) for adapter in (None, "games")}
    server.ways.weights = "other weights"
    again = hosted.connect(server)
    assert {adapter: said(again, adapter) for adapter in first} == first
    fresh = hosted.connect(server, refresh=True)
    assert said(fresh) == truth("other weights")
    assert fresh.info.hash != backend.info.hash == again.info.hash
    assert said(fresh, "games") == truth("other weights/l/games.gguf")
    assert fresh.adapter_hash not in (again.adapter_hash, "")
    later = hosted.connect(server)
    said(later, "games")
    assert (later.info.hash, later.adapter_hash) == (fresh.info.hash, fresh.adapter_hash)


def test_adapters_in_another_order_are_found_where_they_are_now(hosted):
    server, backend = hosted(Ways(lora=loras("/l/new.gguf", "/l/other.gguf")))
    said(backend, "other")
    assert looked_up(server) == []  # it has just been probed
    server.ways.lora = loras("/l/other.gguf", "/l/new.gguf")
    later = hosted.connect(server)
    assert said(later, "new") == truth("/l/new.gguf")
    assert said(later, "other") == truth("/l/other.gguf")
    assert len(looked_up(server)) == 1
    assert Record.known(server.url, MODEL).adapters == ("/l/other.gguf", "/l/new.gguf")
    server.ways.lora = []
    with pytest.raises(AdapterError, match="no adapter 'new'; it has: none"):
        hosted.connect(server).use("new")


def test_a_preview_sends_nothing_to_look_adapters_up(hosted):
    server, _ = hosted(Ways(lora=loras("/l/new.gguf")))
    hosted.connect(server, preview=True).use("new")
    assert server.seen == []


def test_where_the_user_says_what_is_served_a_refresh_changes_no_identity(hosted, tmp_path):
    gguf, twin = tmp_path / "base.gguf", tmp_path / "twin.gguf"
    gguf.write_bytes(b"GGUF")
    twin.write_bytes(b"adapter")
    server, backend = hosted(Ways(lora=loras(str(twin))), weights=f"llama:{gguf}")
    first = said(backend, str(twin))
    assert (backend.info.hash, backend.adapter_hash) == (file_hash(gguf), adapter_identity(str(twin)))
    fresh = hosted.connect(server, weights=f"llama:{gguf}", refresh=True)
    server.forget()
    assert said(fresh, str(twin)) == first
    assert server.seen == []


@pytest.mark.hf
def test_a_folder_may_be_what_is_served(hosted, tmp_path):
    pytest.importorskip("torch")
    from llmrec_prompt.backends.hf.loading import locate

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    ref = f"hf:{tmp_path}"
    _, backend = hosted(weights=ref)
    assert backend.info.hash == locate(parse_ref(ref)).digest


def test_a_record_of_another_version_keeps_its_epoch(hosted):
    server, _ = hosted()
    fresh = hosted.connect(server, refresh=True)
    path = fresh.record.path
    path.write_text(path.read_text().replace(f'"version": {VERSION}', '"version": 0'))
    assert hosted.connect(server).info.hash == fresh.info.hash
    path.write_text("[]")
    assert hosted.connect(server).info.hash != fresh.info.hash


def place(adapter, *served):
    return find_served(Record(base_url="u", model="m", lora="model", adapters=served), adapter)


@pytest.mark.parametrize(
    ("adapter", "served", "expected"),
    [
        ("games-1.5", ("games-1", "games-1.5"), 1),
        ("/a/v2/adapter.gguf", ("/a/v1/adapter.gguf", "/a/v2/adapter.gguf"), 1),
        ("movies", ("/a/books.gguf", "/a/movies.gguf"), 1),
        ("/here/movies", ("books", "movies"), 1),
        ("/here/games-1.5", ("games-1.5",), 0),
        ("movies.gguf", ("movies",), 0),
    ],
)
def test_what_the_server_calls_an_adapter_comes_before_what_is_like_it(adapter, served, expected):
    assert place(adapter, *served) == expected


def test_the_twin_of_a_folder_comes_before_its_name(tmp_path):
    folder = tmp_path / "games"
    folder.mkdir()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"weights")
    assert place(str(folder), "/x/games.gguf", f"/cache/{file_hash(weights)}-ab.gguf") == 1


@pytest.mark.parametrize("adapter", ["adapter", "adapter.gguf", "v2/adapter.gguf"])
def test_several_that_could_be_meant_are_an_error_that_names_them(adapter):
    with pytest.raises(
        AdapterError, match=r"several adapters that .*: /a/v1/adapter.gguf, /a/v2/adapter.gguf"
    ):
        place(adapter, "/a/v1/adapter.gguf", "/a/v2/adapter.gguf")


@pytest.mark.parametrize(("adapter", "served"), [("games-1.5", "games-1"), ("games-1", "games-1.5")])
def test_a_version_is_no_file_ending(adapter, served):
    with pytest.raises(AdapterError, match="has no adapter"):
        place(adapter, served)

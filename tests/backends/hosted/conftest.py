import pytest

from llmrec_prompt.backends import Hosted, load_backend

from .server import MODEL, serving


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """A cache of each test's own, no key of the machine's, and an SDK that waits for moments only."""
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLMREC_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


@pytest.fixture
def hosted():
    """Starts a server with such ways, gives it and a backend on it; both are closed at the end."""
    open_now = []

    def start(ways=None, *, model=MODEL, **settings):
        context = serving(ways)
        server = context.__enter__()
        open_now.append(lambda: context.__exit__(None, None, None))
        backend = connect(server, model=model, **settings)
        server.forget()
        return server, backend

    def connect(server, *, model=MODEL, **settings):
        backend = load_backend(f"openai:{model}", hosted=Hosted(base_url=server.url, **settings))
        open_now.append(backend.close)
        return backend

    start.connect = connect
    yield start
    for close in reversed(open_now):
        close()

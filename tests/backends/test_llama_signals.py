"""Whoever is stopped while llama.cpp is at work stops: nothing is lost in a callback from C."""

import logging
import signal
import sys

import pytest

from .engines import single_precision_copy

pytestmark = pytest.mark.llama


class Stopping(logging.Handler):
    """Sends this process a signal when llama.cpp says its first word."""

    def __init__(self, number):
        super().__init__()
        self.left = [number]

    def emit(self, record):
        if self.left:
            signal.raise_signal(self.left.pop())


@pytest.fixture
def stopped_by():
    """Has the first message of llama.cpp send a signal; gives the handler, and puts all back at the end."""
    log = logging.getLogger("llmrec_prompt.backends.llama_cpp.engine")
    level = log.level
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def start(number):
        log.addHandler(handler := Stopping(number))
        log.setLevel(logging.DEBUG)
        handlers.append(handler)
        return handler

    handlers = []
    yield start
    for handler in handlers:
        log.removeHandler(handler)
    log.setLevel(level)
    for number, heed in before.items():
        signal.signal(number, heed)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_load_that_is_stopped_ends_so(own_cache, stopped_by, number, raised):
    from llmrec_prompt.backends.llama_cpp.engine import Model

    path = single_precision_copy("smollm2")
    handler = stopped_by(number)
    heed = signal.getsignal(number)
    with pytest.raises(raised):
        Model(path)
    assert handler.left == []
    assert signal.getsignal(number) is heed


def test_so_does_the_making_of_a_context(own_cache, stopped_by):
    from llmrec_prompt.backends.llama_cpp.engine import Context, Model

    model = Model(single_precision_copy("smollm2"))
    stopped_by(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Context(model, tokens=512, batch=512, threads=1, exact=True)
    model.close()

from collections.abc import Callable

import pytest

from llmrec_prompt.backends.base import Backend

from .conformance import CHECKS
from .engines import ENGINES, engine_params


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[6:])
@pytest.mark.parametrize("name", engine_params())
def test_conformance(
    name: str, check: Callable[[Backend, float], None], engine: Callable[[str], Backend]
) -> None:
    check(engine(name), ENGINES[name].tolerance)

"""Rules the whole package keeps: light import, exact exports, short functions and modules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llmrec_prompt

PACKAGE = Path(llmrec_prompt.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("llama_cpp", "openai", "peft", "pyarrow", "sentence_transformers", "torch", "transformers")


def test_import_loads_nothing_heavy():
    code = f"import sys, llmrec_prompt, llmrec_prompt.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exports_are_exact_and_sorted():
    assert llmrec_prompt.__all__ == sorted(llmrec_prompt.__all__)
    for name in llmrec_prompt.__all__:
        assert getattr(llmrec_prompt, name).__module__.startswith("llmrec_prompt")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_stay_short(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 350
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno <= 40, f"{node.name} wants to be two functions"


def test_changelog_knows_this_version():
    changelog = (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{llmrec_prompt.__version__}]" in changelog

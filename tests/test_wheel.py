"""The built wheel: templates and sample data are found from it, far from the repository."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PROBE = """
import json
from pathlib import Path
import llmrec_prompt
from llmrec_prompt import Recommender
from llmrec_prompt.templates import list_domains
home = Path(llmrec_prompt.__file__).parent
rec = Recommender("sample:books", model="fake:overlap", embedder="backend")
ranking = rec.recommend(["Dune"], k=3)
print(json.dumps({
    "home": str(home),
    "domains": list(list_domains()),
    "inside": all(str(p).startswith(str(home)) for p in list_domains().values()),
    "ids": ranking.ids,
}))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(REPOSITORY),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("llmrec_prompt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_wheel_works_away_from_the_repository(unpacked, tmp_path):
    # -P and an empty working folder: nothing of the repository may be found by accident.
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{PROBE}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["home"].startswith(str(unpacked))
    assert found["inside"]
    assert {"movies", "hotels", "generic"} <= set(found["domains"])
    assert len(found["ids"]) == 3


def test_wheel_holds_what_it_should(unpacked):
    assert (unpacked / "llmrec_prompt" / "py.typed").is_file()
    assert (unpacked / "llmrec_prompt" / "prompts" / "base" / "zh" / "history.j2").is_file()
    assert (unpacked / "llmrec_prompt" / "shipped_adapters" / "README.md").is_file()
    assert not (unpacked / "tests").exists()

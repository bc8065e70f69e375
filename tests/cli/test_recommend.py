import pytest

from llmrec_prompt.cli import main
from llmrec_prompt.data import Dataset

from ..rank.toys import adapter_folder

FAKE = ("--model", "fake:overlap", "--embedder", "backend")
MOVIES = ("--data", "sample:movies", *FAKE)


def test_recommend_from_typed_titles(llmrec):
    done = llmrec("recommend", *MOVIES, "--history", "Matrix", "--history", "alien", "-k", 4, "--json")
    assert done.code == 0
    answer = done.json
    assert [r["rank"] for r in answer["recommendations"]] == [1, 2, 3, 4]
    assert set(answer["recommendations"][0]) == {
        "item_id",
        "title",
        "rank",
        "score",
        "probability",
        "reasons",
    }
    assert answer["user"] is None
    assert answer["domain"] == "movies"
    assert answer["provenance"]["mode"] == "fused"
    assert answer["provenance"]["model"] == "fake:overlap"
    assert "'Matrix' is The Matrix (1999)" in done.err
    shown = {r["item_id"] for r in answer["recommendations"]}
    assert not shown & {"the-matrix-1999", "alien-1979"}


def test_recommend_for_a_user_leaves_out_what_was_consumed(llmrec):
    from llmrec_prompt import Dataset

    dataset = Dataset.load("sample:movies")
    user = dataset.users[0]
    everything = len(dataset.items)
    done = llmrec("recommend", *MOVIES, "--user", user, "-k", everything, "--retrieve", everything, "--json")
    ids = {r["item_id"] for r in done.json["recommendations"]}
    assert ids == {i.item_id for i in dataset.items} - dataset.consumed(user)
    again = llmrec(
        "recommend",
        *MOVIES,
        "--user",
        user,
        "-k",
        everything,
        "--retrieve",
        everything,
        "--consumed",
        "--json",
    )
    assert len(again.json["recommendations"]) == everything


def test_popularity_answers_for_a_user_of_whom_nothing_is_known(llmrec):
    done = llmrec("recommend", "--data", "sample:movies", "--mode", "popularity", "-k", 2, "--json")
    assert [r["rank"] for r in done.json["recommendations"]] == [1, 2]
    assert done.json["user"] is None
    assert done.json["provenance"]["events"]["no_history"] == 1


def test_rank_gives_a_full_order_with_reasons(llmrec, tmp_path):
    file = tmp_path / "candidates.txt"
    file.write_text("Blade Runner\n\nCasablanca\n")
    done = llmrec(
        "rank", *MOVIES, "--history", "Alien", "--history", "The Matrix", "--candidates", "Interstellar",
        "--candidates-file", file, "--explain", "--json",
    )  # fmt: skip
    lines = done.json["recommendations"]
    assert {r["item_id"] for r in lines} == {"blade-runner-1982", "casablanca-1942", "interstellar-2014"}
    assert abs(sum(r["probability"] for r in lines) - 1) < 1e-9
    assert any(r["reasons"] for r in lines)


def test_table_for_people_and_prompt_with_v(llmrec):
    done = llmrec(
        "recommend", *MOVIES, "--history", "Alien", "--history", "Casablanca", "-k", 2, "-v", "--explain"
    )
    assert "because of" in done.out
    assert "Movies that a viewer watched, in order:\nAlien (1979)\nCasablanca (1942)\n" in done.err
    assert "mode fused" in done.err


def test_a_title_nobody_knows_is_used_as_typed_and_said(llmrec):
    done = llmrec("recommend", *MOVIES, "--history", "Zzyzx Qwertyuiop", "--history", "Alien", "--json")
    assert "is not in the catalogue" in done.err
    assert done.json["provenance"]["events"]["typed_as_is"] == 1


def test_an_adapter_brings_its_mode(llmrec, tmp_path, monkeypatch):
    from llmrec_prompt import Recommender

    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path))
    plain = Recommender("sample:movies", model="fake:overlap")
    adapter_folder(
        tmp_path,
        name="films",
        domain="movies",
        base={"ref": "fake:overlap", "hash": plain.backend.info.hash},
        templates={"movies": plain.prompter.fingerprint},
    )
    command = ("recommend", *MOVIES, "--history", "Alien", "--history", "Casablanca", "--json")
    for what in ("films", "movies", tmp_path / "films"):
        said = llmrec(*command, "--adapter", what).json["provenance"]
        assert (said["mode"], said["adapter"]) == ("encoder", "films")
        assert said["candidates"] == len(plain.dataset.items) - 2
    said = llmrec(*command, "--adapter", "films", "--mode", "fused").json["provenance"]
    assert set(said["weights"]) >= {"encoder", "embedding"}
    untrained = llmrec(*command, "--mode", "encoder").json["provenance"]
    assert untrained["settings"]["untrained"] is True
    shown = llmrec("prompts", "show", *command[1:], "--adapter", "films").json
    assert shown["prompt"].startswith("Movies that a viewer watched")  # what its encoder reads of a user
    strange = llmrec(*command, "--adapter", "film")
    assert strange.code == 1
    assert "Did you mean 'films'?" in strange.err
    other = llmrec(*command, "--adapter", "films", "--language", "zh")
    assert other.code == 1
    assert "other templates of 'movies'" in other.err


def test_other_language(llmrec):
    done = llmrec("recommend", *MOVIES, "--history", "Alien", "--language", "zh", "-v")
    assert "一位观众依次看过的电影：" in done.err


@pytest.fixture
def broken(tmp_path):
    """Folders of bad data by name."""
    good_items = '{"item_id": "a", "title": "A film"}\n{"item_id": "b", "title": "Another film"}\n'
    files = {
        "missing-column": {"interactions.csv": "user_id,item\n1,a\n", "items.jsonl": good_items},
        "no-title": {"items.jsonl": '{"item_id": "a", "name": "A"}\n'},
        "bad-json": {"items.jsonl": '{"item_id": "a", "title": "A"}\n{"item_id": "b", "title": \n'},
        "empty": {"items.jsonl": ""},
        "good": {"interactions.csv": "user_id,item_id\n1,a\n", "items.jsonl": good_items},
    }
    for name, contents in files.items():
        (tmp_path / name).mkdir()
        for file, text in contents.items():
            (tmp_path / name / file).write_text(text)
    bad = tmp_path / "prompts" / "odd"
    bad.mkdir(parents=True)
    bad.joinpath("domain.yaml").write_text(
        'name: odd\nnoun: film\nnouns: films\nverb: saw\nitem: "{{ item.title }} {{ nonsense }}"\n'
    )
    return tmp_path


BAD = [
    (["--data", "{}/missing-column", "--user", "1"], "Column 'item_id' is missing"),
    (["--data", "{}/no-title", "--history", "x"], "title"),
    (["--data", "{}/bad-json", "--history", "x"], "items.jsonl"),
    (["--data", "{}/empty", "--history", "x"], "empty"),
    (["--data", "{}/nowhere", "--history", "x"], "nowhere"),
    (["--data", "{}/good", "--user", "77"], "Unknown user '77'"),
    (["--data", "{}/good"], "The history is empty, of which mode auto can say nothing"),
    (["--data", "{}/good", "--history", " "], "empty text"),
    (["--data", "{}/good", "--history", "a", "--model", "smollm3"], "Did you mean 'smollm2'?"),
    (["--data", "{}/good", "--history", "a", "--model", "llama:/no/such.gguf"], "does not exist"),
    (["--data", "{}/good", "--history", "a", "--domain", "movie"], "Did you mean 'movies'?"),
    (["--data", "{}/good", "--history", "a", "--mode", "fuse"], "Did you mean 'fused'?"),
    (
        ["--data", "{}/good", "--history", "a", "--domain", "odd", "--prompts", "{}/prompts"],
        "'nonsense' is undefined",
    ),
    (["--data", "{}/good", "--history", "a", "--language", "tlh"], "no words for language 'tlh'"),
    (["--data", "{}/good", "--history", "a", "-k", "0"], "at least 1"),
    (["--data", "sample:novels", "--history", "a"], "Unknown sample data set"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_one_clear_line(llmrec, broken, arguments, words):
    arguments = [a.replace("{}", str(broken)) for a in arguments]
    if "--model" not in arguments:
        arguments += ["--model", "fake:overlap"]
    done = llmrec("recommend", *arguments, "--embedder", "backend")
    assert done.code == 1
    assert words in done.err
    told = [line for line in done.err.splitlines() if not line.startswith("'a' is A film")]
    assert len(told) == 1
    assert told[0].startswith("Error: ")
    assert "Traceback" not in done.err
    assert done.out == ""


def rank_from(llmrec, file):
    return llmrec("rank", *MOVIES, "--history", "Casablanca", "--candidates-file", file, "--json")


def test_candidates_of_a_file_by_user_are_the_users_own(llmrec, tmp_path):
    file, user = tmp_path / "candidates.tsv", Dataset.load("sample:movies").users[0]
    for line in (
        f"{user}\talien-1979 amelie-2001",
        f'{{"user": "{user}", "candidates": ["alien-1979", "amelie-2001"]}}',
    ):
        file.write_text(line + "\n")
        done = llmrec("rank", *MOVIES, "--user", user, "--candidates-file", file, "--json")
        assert {line["item_id"] for line in done.json["recommendations"]} == {"alien-1979", "amelie-2001"}
        nobody = rank_from(llmrec, file)
        assert (nobody.code, "lists candidates by user, and no user is given" in nobody.err) == (1, True)


def test_candidates_after_a_byte_order_mark(llmrec, tmp_path):
    file = tmp_path / "candidates.txt"
    file.write_bytes("\ufeffalien-1979\r\nAmélie\r\n".encode())
    done = rank_from(llmrec, file)
    ids = {line["item_id"] for line in done.json["recommendations"]}
    assert ids == {"alien-1979", "amelie-2001"}
    assert "used as typed" not in done.err


def test_candidates_that_cannot_be_read_are_one_line(llmrec, tmp_path):
    file = tmp_path / "candidates.txt"
    file.write_bytes("Alien\nAmélie\n".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("\n")
    for path, words in [
        (file, "line 2 is not UTF-8; save it as UTF-8."),
        (tmp_path / "empty.txt", "empty.txt has no candidates. Write one title or id a line."),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "none.txt", "cannot be read: No such file or directory"),
    ]:
        done = rank_from(llmrec, path)
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith(f"Error: {path}")
        assert words in done.err.splitlines()[-1]


def test_a_title_typed_in_another_encoding_is_one_line(llmrec):
    done = llmrec("recommend", *MOVIES, "--history", "Am\udce9lie")
    assert done.code == 1
    assert done.err == "Error: 'Am\\udce9lie' is not UTF-8. Set the terminal to UTF-8.\n"


def test_what_the_system_refuses_is_one_line(llmrec, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for command, words in [
        (
            ("data", "convert", "auto", "sample:movies", file),
            f"{file} cannot be read or written: File exists",
        ),
        (("data", "inspect", "x" * 5000), "File name too long; check the path."),
        (("domain", "new", "hostels", "--folder", file), "Not a directory; check the path."),
    ]:
        done = llmrec(*command)
        assert done.code == 1
        assert done.err.startswith("Error: ")
        assert words in done.err
        assert done.err.count("\n") == 1


def test_the_traceback_of_what_the_system_refuses_is_shown_for_debugging(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        main(["data", "convert", "auto", "sample:movies", str(tmp_path / "file"), "--debug"])


def test_a_seed_below_0_is_wrong_usage(llmrec):
    done = llmrec("recommend", *MOVIES, "--history", "Alien", "--seed", -1)
    assert done.code == 2
    assert "--seed" in done.err


def test_missing_extra_says_how_to_get_it(llmrec_process, tmp_path):
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('not installed')\n")
    done = llmrec_process(
        "recommend", "--data", "sample:movies", "--history", "Alien", "--mode", "likelihood",
        env={"PYTHONPATH": str(tmp_path), "PATH": "", "LLMREC_CACHE": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.code == 1
    last = done.err.strip().splitlines()[-1]
    assert (
        last == 'Error: The llama_cpp backend needs extra packages. Run: pip install "llmrec-prompt[local]"'
    )
    assert "Traceback" not in done.err
    assert not (tmp_path / "vectors").exists()  # it is said before anything is computed


def test_debug_shows_the_traceback(llmrec_process):
    done = llmrec_process("recommend", "--data", "nowhere", "--history", "a", "--debug")
    assert "Traceback" in done.err
    assert done.code == 1


def test_wrong_usage_exits_2(llmrec):
    assert llmrec("recommend").code == 2
    assert llmrec("no-such-command").code == 2


@pytest.mark.parametrize(
    "command",
    ["recommend", "rank", "prompts show", "prompts list", "prompts check", "domain new", "data inspect",
     "data convert", "eval run", "eval report", "models list", "models show", "doctor"],
)  # fmt: skip
def test_help_has_an_example(llmrec, command):
    done = llmrec(*command.split(), "--help")
    assert done.code == 0
    assert "Example" in done.out


@pytest.mark.parametrize("command", [("recommend", "-k", 2), ("rank", "--candidates", "Star Wars")])
def test_no_reasons_are_not_no_word(llmrec, command):
    asked = (*command, "--data", "sample:movies", "--mode", "bm25", "--explain")
    one = llmrec(*asked, "--history", "Alien")
    assert one.code == 0, one.err
    assert "No reasons: they come of leaving history items out one by one, which takes two" in one.err
    assert "No reasons" not in llmrec(*asked, "--history", "Alien", "--history", "The Matrix").err

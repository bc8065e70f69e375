import json

import pytest

from llmrec_prompt import Dataset, __version__


def test_the_version_is_the_package_s(llmrec):
    assert llmrec("--version").out == f"llmrec {__version__}\n"


def test_prompts_list_show_check(llmrec):
    listed = llmrec("prompts", "list", "--json").json
    assert {"movies", "hotels", "news"} <= {row["domain"] for row in listed}
    assert len({row["fingerprint"] for row in listed}) == len(listed)
    shown = llmrec(
        "prompts",
        "show",
        "--data",
        "sample:movies",
        "--history",
        "Alien",
        "--model",
        "fake:overlap",
        "--json",
    )
    assert shown.json["prompt"] == "Movies that a viewer watched, in order:\nAlien (1979)\n"
    assert shown.json["tokens"] == 9
    assert llmrec("prompts", "check").code == 0


def test_prompts_show_what_the_mode_reads(llmrec):
    asked = ("prompts", "show", "--data", "sample:movies", "--history", "Alien", "--embedder", "backend")
    listed = llmrec(*asked, "--mode", "listed", "--model", "fake:overlap", "--json")
    assert (listed.json["mode"], listed.json["questions"]) == ("listed", 1)
    prompt = listed.json["prompt"]
    assert "Alien" in prompt
    numbered = [line for line in prompt.splitlines() if line.partition(".")[0].strip().isdigit()]
    assert len(numbered) > 10
    label = llmrec(*asked, "--mode", "label", "--model", "fake:overlap")
    assert "Alien" in label.out
    assert "mode label, questions" in label.out
    none = llmrec(*asked, "--mode", "bm25")
    assert (none.code, none.out) == (1, "")
    assert "Mode 'bm25' reads no prompt" in none.err
    assert llmrec(*asked, "--mode", "bm52").code == 1


def test_verbose_shows_no_prompt_that_is_not_read(llmrec):
    asked = ("rank", "--data", "sample:movies", "--history", "Alien", "--candidates", "Star Wars",
             "--candidates", "The Matrix", "--model", "fake:overlap", "-v")  # fmt: skip
    for mode, words in (("popularity", "reads no prompt"), ("label", "llmrec prompts show --mode label")):
        told = llmrec(*asked, "--mode", mode).err
        assert "that a viewer watched" not in told
        assert words in told


def test_prompts_check_fails_loudly(llmrec, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    folder.joinpath("domain.yaml").write_text(
        'name: odd\nnoun: a\nnouns: b\nverb: c\nitem: "{{ item.colour }}"\n'
    )
    done = llmrec("prompts", "check", "odd", "--prompts", tmp_path)
    assert done.code == 1
    assert "colour" in done.out
    assert "Traceback" not in done.err


def test_prompts_check_can_try_a_data_set(llmrec, tmp_path):
    """Fields that only a catalogue has are no fault; what some of its items lack is counted."""
    (tmp_path / "mine").mkdir()
    rows = [{"item_id": str(n), "title": f"Hostel {n}", "rating": n or None} for n in range(3)]
    (tmp_path / "mine" / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine" / "meta.json").write_text('{"domain": "inns"}')
    line = "{{ item.title }} {{ item.rating }}"
    asked = ("domain", "new", "inns", "--folder", tmp_path / "prompts", "--item", line)
    refused = llmrec(*asked)
    assert "no attribute 'rating'. There are: categories, creator" in refused.err
    assert llmrec(*asked, "--data", tmp_path / "mine").code == 0
    check = ("prompts", "check", "--prompts", tmp_path / "prompts")
    assert "no attribute 'rating'" in llmrec(*check, "inns").out
    found = llmrec(*check, "--data", tmp_path / "mine", "--json").json
    assert found == [{"domain": "inns", "ok": True, "problem": "", "events": {"field_missing": 1}}]
    assert "field_missing 1" in llmrec(*check, "--data", tmp_path / "mine").out


def test_prompts_check_renders_the_questions_and_the_item_alone(llmrec, tmp_path):
    own = {"domain.yaml": "name: odd\nnoun: a\nnouns: b\nverb: c\n"}
    for file in ("label.j2", "item.j2"):
        folder = tmp_path / file / "odd"
        folder.mkdir(parents=True)
        for name, text in {**own, file: "{{ colour }}\n"}.items():
            (folder / name).write_text(text)
        done = llmrec("prompts", "check", "odd", "--prompts", tmp_path / file)
        assert (done.code, f"odd/{file}" in done.out) == (1, True), done.out


def test_domain_new_is_usable_at_once(llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = llmrec("domain", "new", "hostels", "--person", "traveller", "--verb", "slept at", "--json")
    assert made.json == {"domain": "hostels", "path": "prompts/hostels/domain.yaml"}
    items = [{"item_id": f"h{n}", "title": f"Hostel {name}"} for n, name in enumerate(["Sun", "Moon", "Sea"])]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    done = llmrec(
        "recommend", "--data", "mine", "--domain", "hostels", "--history", "Hostel Sun", "-k", 2,
        "--model", "fake:overlap", "--embedder", "backend", "-v", "--json",
    )  # fmt: skip
    assert "Hostels that a traveller slept at, in order:\nHostel Sun\n" in done.err
    assert [r["rank"] for r in done.json["recommendations"]] == [1, 2]
    asked = ("recommend", "--data", "mine", "--history", "Hostel Sun", "-v", "--model", "fake:overlap")
    (tmp_path / "mine" / "meta.json").write_text('{"domain": "hostels"}')
    assert "Hostels that a traveller slept at" in llmrec(*asked).err
    (tmp_path / "mine" / "meta.json").write_text('{"domain": "hostel"}')
    wrong = llmrec(*asked)
    assert wrong.code == 1
    assert "Unknown domain 'hostel'. Did you mean" in wrong.err
    again = llmrec("domain", "new", "hostels")
    assert again.code == 1
    assert "--force" in again.err


def test_a_domain_that_cannot_be_rendered_is_not_written(llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = llmrec("domain", "new", "tm", "--item", "{{ item.title")
    assert wrong.code == 1
    assert "domain.yaml" in wrong.err
    empty = llmrec("domain", "new", "tm", "--item", "{{ item.categories[0] }}")
    assert "no element 0 (of 0). Asked of item 'probe-2', which has no categories" in empty.err
    assert not (tmp_path / "prompts").exists()
    assert llmrec("domain", "new", "tm").code == 0
    kept = (tmp_path / "prompts" / "tm" / "domain.yaml").read_bytes()
    assert llmrec("domain", "new", "tm", "--force", "--item", "{{ item.title").code == 1
    assert (tmp_path / "prompts" / "tm" / "domain.yaml").read_bytes() == kept


def test_data_inspect_counts_what_is_dropped(llmrec, tmp_path):
    (tmp_path / "items.jsonl").write_text('{"item_id": "a", "title": "A"}\n{"item_id": "b", "title": "B"}\n')
    rows = "user_id,item_id,rating\n1,a,5\n1,a,4\n1,zzz,5\n2,b,1\n2,a,3\n,a,3\n"
    (tmp_path / "interactions.csv").write_text(rows)
    found = llmrec("data", "inspect", tmp_path, "--json").json
    assert found["items"] == 2
    steps = found["cleaning"]["steps"]
    for step in steps:
        assert step["rows_before"] - step["rows_after"] == sum(step["why"].values())
    assert sum(sum(s["why"].values()) for s in steps) == 5
    assert llmrec("data", "inspect", tmp_path).code == 0


def test_data_inspect_says_what_is_not_read(llmrec, tmp_path, caplog):
    (tmp_path / "items.jsonl").write_text('{"item_id": "a", "title": "A"}\n')
    (tmp_path / "interactions.csv").write_text("user_id,item_id,order_id,date\n1,a,7,2024-01-01\n")
    done = llmrec("data", "inspect", tmp_path, "--preference", "none")
    assert "no timestamps: the order of the file is taken\ncolumns not read: order_id, date\n" in done.out
    assert caplog.text.count("the column 'date' looks like a time") == 1
    found = llmrec("data", "inspect", tmp_path, "--json").json
    assert found["cleaning"]["remarks"][1] == "columns not read: order_id, date"


def test_cleaning_that_was_tried_can_be_kept(llmrec, tmp_path):
    """What inspect shows is what every command reads, once meta.json says so."""
    (tmp_path / "items.jsonl").write_text('{"item_id": "a", "title": "A"}\n{"item_id": "b", "title": "B"}\n')
    rows = "user_id,item_id,rating\n1,a,5\n1,b,4\n2,a,4\n2,b,3\n3,a,1\n"
    (tmp_path / "interactions.csv").write_text(rows)
    plain = Dataset.load(tmp_path)
    tried = llmrec("data", "inspect", tmp_path, "--preference", 5)
    block = tried.err.partition("put into meta.json: ")[2]
    assert json.loads(block) == {"cleaning": {"preference": 5.0, "k_core": 0}}
    found = llmrec("data", "inspect", tmp_path, "--preference", 5, "--json").json
    assert (found["users"], found["liked"]) == (1, 1)
    (tmp_path / "meta.json").write_text(block)
    kept = llmrec("data", "inspect", tmp_path, "--json").json
    assert kept["fingerprint"] == found["fingerprint"] == Dataset.load(tmp_path).fingerprint
    assert llmrec("data", "inspect", tmp_path, "--preference", "auto", "--json").json["liked"] == 3
    (tmp_path / "meta.json").write_text("{}")
    assert Dataset.load(tmp_path).fingerprint == plain.fingerprint


@pytest.mark.parametrize("said", ['"user-mean"', '{"kcore": 5}', '{"k_core": "5"}', '{"preference": "best"}'])
def test_cleaning_that_cannot_be_meant_is_one_line(llmrec, tmp_path, said):
    (tmp_path / "items.jsonl").write_text('{"item_id": "a", "title": "A"}\n')
    (tmp_path / "meta.json").write_text(f'{{"cleaning": {said}}}')
    done = llmrec("data", "inspect", tmp_path)
    assert done.code == 1
    assert "preference" in done.err


def test_data_convert_round_trip(llmrec, tmp_path):
    done = llmrec("data", "convert", "auto", "sample:movies", tmp_path / "copy", "--json")
    assert done.json == {"folder": str(tmp_path / "copy"), "items": 67, "users": 12}
    assert llmrec("data", "convert", "two-file", tmp_path / "copy", tmp_path / "again").code == 0
    wrong = llmrec("data", "convert", "movielens", tmp_path / "copy", tmp_path / "no")
    assert wrong.code == 1
    assert "of kind 'two-file', not 'movielens'" in wrong.err
    assert not (tmp_path / "no").exists()
    before, after = Dataset.load("sample:movies"), Dataset.load(tmp_path / "copy")
    assert before.fingerprint == after.fingerprint


def test_converting_never_loses_a_data_set(llmrec, tmp_path):
    shop, other = tmp_path / "shop", tmp_path / "other"
    shop.mkdir()
    (shop / "items.csv").write_text("item_id,title\na,A\n")
    (shop / "interactions.csv").write_text("user_id,item_id,rating\n1,a,5\n1,gone,5\n")
    before = {path.name: path.read_bytes() for path in shop.iterdir()}
    for place in (shop, tmp_path / "other" / ".." / "shop"):
        done = llmrec("data", "convert", "two-file", shop, place, "--force")
        assert done.code == 1
        assert "is what is read" in done.err
    assert llmrec("data", "convert", "auto", "sample:movies", other).code == 0
    refused = llmrec("data", "convert", "auto", shop, other)
    assert refused.code == 1
    assert "holds a data set already" in refused.err
    assert "--force" in refused.err
    assert len(Dataset.load(other).items) > 1
    assert {path.name: path.read_bytes() for path in shop.iterdir()} == before
    (shop / "interactions.csv").unlink()
    assert llmrec("data", "convert", "auto", shop, other, "--force").code == 0
    assert sorted(path.name for path in other.iterdir()) == ["items.jsonl", "meta.json"]


def test_models_and_doctor(llmrec):
    models = {row["model"] for row in llmrec("models", "list", "--json").json}
    assert models == {"smollm2", "gemma3-270m"}
    assert llmrec("models", "show", "fake:overlap", "--json").json["engine"] == "fake"
    unknown = llmrec("models", "show", "fake:overlay")
    assert unknown.code == 1
    assert "Did you mean 'fake:overlap'?" in unknown.err


@pytest.mark.llama
def test_doctor_tries_the_default_model(llmrec):
    found = llmrec("doctor", "--json").json
    assert found["models"]["smollm2"].get("tokens_per_second", 0) > 0


def test_the_model_of_the_environment_is_shown_and_tried(llmrec, monkeypatch):
    monkeypatch.setenv("LLMREC_MODEL", "fake:random")
    assert llmrec("models", "show", "--json").json["model"] == "fake:random"
    assert list(llmrec("doctor", "--json").json["models"]) == ["fake:random", "fake:overlap"]

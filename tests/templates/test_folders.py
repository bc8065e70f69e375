import pytest

from llmrec_prompt.errors import TemplateError
from llmrec_prompt.templates.folders import Folders
from llmrec_prompt.templates.sandbox import Sandbox


def linked(tmp_path, target):
    (tmp_path / "prompts").mkdir()
    target.parent.mkdir(exist_ok=True)
    target.write_text("a secret")
    (tmp_path / "prompts" / "here.j2").symlink_to(target)
    return tmp_path / "prompts"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = linked(tmp_path, tmp_path / "elsewhere" / "private.txt")
    with pytest.raises(TemplateError, match="is a link to a file outside of its folder"):
        Sandbox(Folders([folder])).run("here.j2", {})


def test_a_link_within_the_folder_is_followed(tmp_path):
    folder = linked(tmp_path, tmp_path / "prompts" / "there.j2")
    assert Sandbox(Folders([folder])).run("here.j2", {}) == "a secret"


def test_a_folder_that_is_a_link_itself_will_do(tmp_path):
    linked(tmp_path, tmp_path / "prompts" / "there.j2")
    (tmp_path / "alias").symlink_to(tmp_path / "prompts")
    assert Sandbox(Folders([tmp_path / "alias"])).run("here.j2", {}) == "a secret"


def test_trusted_folders_may_be_made_of_links(tmp_path):
    folder = linked(tmp_path, tmp_path / "elsewhere" / "here.j2")
    assert Sandbox(Folders([folder], trusted=[folder])).run("here.j2", {}) == "a secret"

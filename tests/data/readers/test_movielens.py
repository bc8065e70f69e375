import pytest

from llmrec_prompt.data import Dataset, read_folder, write_two_file
from llmrec_prompt.errors import DataError

from ..strategies import keep_all, write_lines


@pytest.fixture
def latest(tmp_path):
    movies = [
        "movieId,title,genres",
        '1,"Matrix, The (1999)",Action|Sci-Fi',
        "2,Heat (1995),(no genres listed)",
    ]
    write_lines(tmp_path / "movies.csv", movies)
    write_lines(tmp_path / "ratings.csv", ["userId,movieId,rating,timestamp", "1,1,4.5,20", "1,2,3.0,10"])
    tags = ["userId,movieId,tag,timestamp", "1,1,dream,5", "2,1,dream,6", "2,1,kung fu,7", "2,9,lost,8"]
    write_lines(tmp_path / "tags.csv", tags)
    return tmp_path


def test_latest(latest):
    data = Dataset.load(latest, cleaning=keep_all())
    matrix, heat = data.items
    assert (matrix.title, matrix.categories) == ("Matrix, The (1999)", ("Action", "Sci-Fi"))
    assert matrix.tags == ("dream", "kung fu")
    assert heat.categories == ()
    assert [row.item_id for row in data.history("1")] == ["2", "1"]
    assert data.domain == "movies"
    assert data.report.notes == {"tags of unknown movies, left out": 1}


@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv", "tags.csv"])
def test_an_open_quote_swallows_nothing(latest, name):
    lines = (latest / name).read_text().splitlines()
    write_lines(latest / name, [*lines, '2,"2,3', "2,2,3"])
    with pytest.raises(DataError, match=f"{name}, line {len(lines) + 1}: a quote opens in this record"):
        Dataset.load(latest)


@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv", "tags.csv"])
def test_rows_over_several_lines_are_counted(latest, name):
    lines = (latest / name).read_text().splitlines()
    width = lines[0].count(",")
    write_lines(latest / name, [*lines, '"3', '"' + ",5" * width])
    notes = Dataset.load(latest).report.notes
    assert notes[f"{name} rows that go over several lines"] == 1


def test_latest_without_tags_or_ratings(latest):
    (latest / "tags.csv").unlink()
    (latest / "ratings.csv").unlink()
    assert not Dataset.load(latest).has_logs


def test_1m_is_latin_1(tmp_path):
    write_lines(
        tmp_path / "movies.dat",
        ["1::Toy Story (1995)::Animation|Children's", "2::Misérables::Drama"],
        "latin-1",
    )
    write_lines(tmp_path / "ratings.dat", ["1::1::5::978300760", "1::2::3::978300000", "2::1::4::9::9"])
    data = Dataset.load(tmp_path, cleaning=keep_all())
    assert [item.title for item in data.items] == ["Toy Story (1995)", "Misérables"]
    assert data.items[0].categories == ("Animation", "Children's")
    assert [row.item_id for row in data.history("1")] == ["2", "1"]
    assert data.report.steps[1].why == {"too many fields": 1}


def test_100k(tmp_path):
    flags = ["0"] * 19
    flags[5] = flags[16] = "1"
    line = "|".join(["1", "Toy Story (1995)", "01-Jan-1995", "", "http://x", *flags])
    unknown = "|".join(["267", "unknown", "", "", "", "1", *["0"] * 18])
    write_lines(tmp_path / "u.item", [line, unknown], "latin-1")
    write_lines(tmp_path / "u.data", ["196\t1\t3\t881250949", "196\t267\t5\t881250940"])
    data = Dataset.load(tmp_path, cleaning=keep_all())
    assert [item.categories for item in data.items] == [("Comedy", "Thriller"), ()]
    assert [row.timestamp for row in data.history("196")] == [881250940, 881250949]


def test_converting_keeps_all(latest, tmp_path):
    data = Dataset.load(latest, cleaning=keep_all())
    again = Dataset.load(write_two_file(data, tmp_path / "out"), cleaning=keep_all())
    assert again.fingerprint == data.fingerprint
    assert again.domain == "movies"


def test_a_broken_line_is_named(tmp_path):
    write_lines(tmp_path / "movies.dat", ["1::A::Drama", "2::B"])
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    assert str(caught.value) == f"{tmp_path}/movies.dat, line 2: found 2 fields cut at '::'; expected 3."


def test_missing_column(tmp_path):
    write_lines(tmp_path / "movies.csv", ["movieId,title"])
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    assert str(caught.value) == f"Column 'genres' is missing in {tmp_path}/movies.csv; found: movieId, title."

import pytest
from freqfast.cli.rows import cell_rows, write_csv

from freqfast.robustness import CLEAN, compare
from tests.support.finished import measured


def test_rows_are_cells(tmp_path):
    result = measured({CLEAN: 1.0, ("contrast", 1): 0.75, ("invert", 2): 0.25}, images=4)
    rows = cell_rows(result)
    assert [(row["corruption"], row["severity"], row["family"]) for row in rows] == [
        ("clean", 0, ""), ("contrast", 1, "digital"), ("invert", 2, "")
    ]  # fmt: skip
    for row in rows:
        assert row["right"] / row["images"] == row["accuracy"]
        assert row["accuracy"] == result.outcomes[row["corruption"], row["severity"]].accuracy
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["ece"] == pytest.approx(abs(0.75 - row["accuracy"]))  # of a confidence of 75 % everywhere
    write_csv(tmp_path / "r.csv", result)
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "corruption,severity,family,images,right,accuracy,low,high,ece"
    assert len(lines) == 4
    write_csv(tmp_path / "r.csv", result, compare(result, measured({("contrast", 1): 1.0}, images=4)))
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0].endswith("ece,difference,only_model,only_baseline,p")
    assert [line.split(",")[9] for line in lines[1:]] == ["", "-0.25", ""]

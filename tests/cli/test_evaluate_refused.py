"""What `freqfast evaluate` refuses: wrong options, and words that name no model or no images."""

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "abacus"), "device 'abacus' is not available here"),
        (("--precision", "half"), "'half' is not one of 'auto', 'bfloat16', 'float32'"),
        (("--mean", "0.5,0.5"), "--mean 0.5,0.5: write three numbers such as 0.49,0.48,0.45"),
        (("--seed", "0"), "stored images have been corrupted already; leave out --seed"),
        (("--corruptions", "snow"), "holds no snow; it holds fog, contrast"),
        (("--data", "absent"), "absent does not exist"),
        (("--shard", "1/2"), "--shard needs -o FILE.json, the one file to leave its part in"),
        (("--shard", "2", "--out", "x.json"), "--shard 2: write I/N, such as 1/4"),
        (("--shard", "1/2", "--out", "x.json", "--json"), "report on all parts together; leave out --json"),
        (("--out", "result"), "cannot write result: its name must end in .json"),
        (("-o", "report.docx"), "cannot write report.docx"),
        (("--baseline", "gone.json"), "gone.json"),
        (("--baseline", "gone"), "gone does not exist"),
    ],
)
def test_wrong_options(refused, checkpoint, archive, words, message):
    assert message in refused("evaluate", checkpoint, "--corrupted", archive, *words)


def test_what_names_no_model_or_no_images(refused, checkpoint, archive):
    assert "one model at a time, got a, b; compare two with --baseline b" in refused("evaluate", "a", "b")
    assert "gone does not exist; name a folder of corrupted images" in refused(
        "evaluate", checkpoint, "--corrupted", "gone"
    )
    assert "absent does not exist; name a run directory," in refused("evaluate", "absent", "--corrupted", archive)


def test_photographs_that_nothing_needs_or_that_are_missing(refused, checkpoint):
    words = ("evaluate", checkpoint, "--frost-dir", "absent")
    assert "frost is not among the corruptions; leave out --frost-dir" in refused(*words, "--corruptions", "fog")
    assert "frost is not among the corruptions; leave out --frost-dir" in refused(*words, "--corruptions", "c-bar")
    assert "no frost1.png" in refused(*words)


def test_notes_are_one_line(accepted, checkpoint, archive, tree, monkeypatch):
    (tree / "test" / "narrow" / "\x1b[2J.png").write_bytes(b"no image")
    monkeypatch.setenv("FREQFAST_DATA", str(tree))
    result = accepted("evaluate", checkpoint, "--corrupted", archive)
    assert result.err.startswith("freqfast: no clean accuracy: ")
    assert "?[2J.png" in result.err
    assert "\x1b" not in result.err

"""The study's folder: the name of everything in it."""

from pathlib import Path

from freqfast.files import read_file
from freqfast.records import MAX_BYTES
from freqfast.runs.directory import RunDirectory
from freqfast.study.definition import PlannedRun


class StudyFolder:
    """A study's folder, which need not exist; `freqfast.study` says what it holds."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.results = self.path / "results.json"
        self.figures = self.path / "figures"
        self.jobs = self.path / "jobs"

    def run(self, run: PlannedRun) -> RunDirectory:
        """The directory of a run: ``runs/<arm>/seed-<n>``."""
        return RunDirectory(self.path / "runs" / run.name)

    def failure(self, run: PlannedRun) -> Path:
        """The file of a failed run's error, one line, and below it the traceback: ``runs/<arm>/seed-<n>.error``."""
        return self.run(run).path.with_suffix(".error")

    def read_failure(self, run: PlannedRun) -> str | None:
        """The error of a failed run, one line; None if there is none."""
        try:
            content = read_file(self.failure(run), MAX_BYTES)
        except FileNotFoundError:
            return None
        return content.decode(errors="replace").partition("\n")[0]

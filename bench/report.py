"""The results of the benchmark, and their Markdown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """A goal, its target value, the measured value, and whether the goal is met."""

    name: str
    target: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Table:
    """A table of text, and a note below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table in GitHub Flavored Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"{text}\n\n{self.note}" if self.note else text


@dataclass(frozen=True)
class Section:
    """The results of one part. `intro` describes the method."""

    title: str
    intro: str
    tables: Sequence[Table] = ()
    goals: Sequence[Goal] = field(default=())

    def markdown(self) -> str:
        """The section without its goals; `goals_table` has those of all sections."""
        return "\n\n".join([f"## {self.title}", self.intro, *(table.markdown() for table in self.tables)])


def goals_table(sections: Sequence[Section]) -> str:
    """The goals of all sections."""
    rows = [
        [goal.name, goal.target, goal.measured, "yes" if goal.met else "**no**"]
        for section in sections
        for goal in section.goals
    ]
    return Table(["goal", "target", "measured", "met"], rows).markdown()


@dataclass(frozen=True)
class Spread:
    """The values of one measurement in all rounds."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    def text(self, digits: int = 0) -> str:
        """`median (minimum-maximum)`."""
        median, minimum, maximum = (
            f"{value:,.{digits}f}" for value in (self.median, min(self.values), max(self.values))
        )
        return f"{median} ({minimum}-{maximum})"

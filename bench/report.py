"""What a part of the benchmark found, and how it is printed: Markdown that a sceptic can check."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """One thing that was to be reached: what was wanted, what was measured, whether that is enough."""

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Table:
    """A table of text. `note` stands under it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table in GitHub's dialect."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"{text}\n\n{self.note}" if self.note else text


@dataclass(frozen=True)
class Section:
    """A part's findings, under a heading of their own. `intro` says how it was measured."""

    title: str
    intro: str
    tables: Sequence[Table] = ()
    goals: Sequence[Goal] = field(default=())

    def markdown(self) -> str:
        """The section, without the goals: those of all sections stand together, first."""
        return "\n\n".join([f"## {self.title}", self.intro, *(table.markdown() for table in self.tables)])


def goals_table(sections: Sequence[Section]) -> str:
    """What was to be reached, of all sections, with a plain yes or no."""
    rows = [
        [goal.what, goal.wanted, goal.measured, "yes" if goal.met else "**no**"]
        for section in sections
        for goal in section.goals
    ]
    return Table(["what", "to reach", "measured", "reached"], rows).markdown()


@dataclass(frozen=True)
class Spread:
    """Rounds of one measurement: the median, with the least and the most."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """Half of the rounds were below."""
        return statistics.median(self.values)

    def text(self, digits: int = 0) -> str:
        """`median (least-most)`."""
        median, least, most = (f"{value:,.{digits}f}" for value in (self.median, min(self.values), max(self.values)))
        return f"{median} ({least}-{most})"

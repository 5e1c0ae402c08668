"""The tables and figures as data: which systems, sampled how, and what the paper prints for the same row.

The paper's figures are those that its text states, on VGGSound. They stand beside ours for the order of rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frieren.reproduction.cells import Sampling


@dataclass(frozen=True)
class Column:
    """A score in a table.

    Attributes:
        title: with an arrow to the better side.
        prefix: of the score's name in the report, whatever the preset's networks.
        scale: what the value is multiplied by.
        digits: after the point.
    """

    title: str
    prefix: str
    scale: float = 1.0
    digits: int = 2


FD = Column("FD ↓", "fd_")
IS = Column("IS ↑", "is_")
KL = Column("KL ↓", "kl_")
FAD = Column("FAD ↓", "fad_")
KID = Column("KID ↓", "kid_", digits=4)
ACC = Column("Acc % ↑", "alignment", 100.0, 1)
F1 = Column("onset F1 ↑", "onset_f1_50ms", 1.0, 3)
AP = Column("onset AP ↑", "onset_ap_50ms", 1.0, 3)
ALL = (FD, IS, KL, FAD, KID, ACC, F1, AP)


@dataclass(frozen=True)
class ResultRow:
    """A row: a system, how it is sampled, and what the paper prints.

    Attributes:
        system: a key of `systems.SYSTEMS`.
        labels: text columns beside the system's title.
        paper: the paper's figures, as text.
    """

    system: str
    sampling: Sampling = field(default_factory=Sampling)
    labels: tuple[str, ...] = ()
    paper: str = ""


@dataclass(frozen=True)
class ResultTable:
    """A table.

    Attributes:
        title: of its section.
        heads: of the rows' labels.
        rows: by a name that claims use; the same name means the same row in every table.
        columns: scores.
        opinions: whether it has columns for mean opinion scores.
        note: what is to be seen in it, and what is otherwise than in the paper.
    """

    title: str
    heads: tuple[str, ...]
    rows: Mapping[str, ResultRow]
    columns: tuple[Column, ...] = ALL
    opinions: bool = False
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Scores against one setting, a curve for each system.

    Attributes:
        setting: "steps" or "guidance".
        curves: title -> setting -> the row's name.
        rows: by name.
        columns: a panel each.
    """

    title: str
    setting: str
    curves: Mapping[str, Mapping[float, str]]
    rows: Mapping[str, ResultRow]
    columns: tuple[Column, ...]
    note: str = ""


def flow(
    system: str, steps: int, guidance: float | None = None, solver: str | None = None, paper: str = ""
) -> ResultRow:
    """Return a row of a system that has steps and guidance."""
    shown = "own" if guidance is None else f"{guidance:g}"
    labels = (f"{steps}" if solver is None else f"{solver}", shown)
    return ResultRow(system, Sampling(steps if solver is None else None, guidance, solver), labels, paper=paper)


def sized(system: str, parameters: str, paper: str) -> ResultRow:
    """Return a row of table 3."""
    return ResultRow(system, Sampling(25), (parameters, "25", "own"), paper)


STEPS = (1, 2, 5, 10, 25)
GUIDANCES = (1.0, 1.5, 2.0, 3.0, 4.5, 6.0)
WHOLE = "FD 12.26, IS 12.42, KL 2.73, FAD 1.32, KID 2.49e-3, Acc 97.22, MOS 3.78 / 3.90"
STEP_ROWS = {
    "frieren-25": flow("foleyworld", 25, paper=WHOLE),
    "frieren-5": flow("foleyworld", 5, paper="obvious drop"),
    "frieren-1": flow("foleyworld", 1, paper="noise"),
    "reflow-25": flow("foleyworld-reflow", 25, paper="worse than without R"),
    "reflow-5": flow("foleyworld-reflow", 5, paper="Acc 96.82"),
    "reflow-1": flow("foleyworld-reflow", 1, paper="Acc 94.96"),
    "distilled-1": flow(
        "foleyworld-1step", 1, paper="KL 2.90, FAD 1.85, KID 2.91e-3, Acc 97.85, MOS 3.48 / 3.93"
    ),
    "frieren-25-plain": flow("foleyworld", 25, 1.0),
    "reflow-5-plain": flow("foleyworld-reflow", 5, 1.0),
    "distilled-1-plain": flow("foleyworld-1step", 1, 1.0),
}  # fmt: skip
RIVAL_ROWS = {
    "specvqgan": ResultRow("specvqgan", labels=("–", "own")),
    "im2wav": ResultRow("im2wav", labels=("–", "own")),
    "diff-foley-plain-25": flow("diff-foley-unguided", 25),
    "diff-foley-25": flow("diff-foley", 25, paper="IS 11.69"),
    "ldm-25": flow("ldm", 25, paper="Acc above Diff-Foley"),
    "same-25": flow("frieren", 25, paper=WHOLE),
    "same-dopri5": flow("frieren", 25, solver="dopri5", paper="FD 11.64, IS 12.76, others stable"),
    "meanflow-1": flow("meanflow", 1),
}
FEW_STEPS = {
    "same-5": flow("frieren", 5),
    "same-1": flow("frieren", 1),
    "ldm-5": flow("ldm", 5),
    "ldm-1": flow("ldm", 1, paper="noise"),
    "diff-foley-plain-5": flow("diff-foley-unguided", 5),
    "diff-foley-5": flow("diff-foley", 5, paper="against none: FD +9.47, IS -1.72, KL +0.17, KID +0.94e-3, Acc -18.0"),
    "diff-foley-1": flow("diff-foley", 1, paper="noise"),
}
SAMPLED = ("steps", "guidance")

TABLES: dict[str, ResultTable] = {
    "table1": ResultTable(
        "Table 1: all systems",
        SAMPLED,
        {**RIVAL_ROWS, "frieren-25": STEP_ROWS["frieren-25"]},
        opinions=True,
        note="All systems but the last row have one budget of parameters and updates. The last row is the same method "
        "in a training of its own: that of `frieren train foleyworld`, or of the model that was given.",
    ),
    "table2": ResultTable(
        "Table 2: steps, reflow (R), distillation (D), guidance",
        SAMPLED,
        {**STEP_ROWS, "meanflow-1": RIVAL_ROWS["meanflow-1"], **FEW_STEPS},
        opinions=True,
        note="Guidance 1 is the plain conditional field. The other systems have the smaller budget of table 1.",
    ),
    "table3": ResultTable(
        "Table 3: size",
        ("parameters of the field", *SAMPLED),
        {
            "small-25": sized("small", "0.7 M", "FD 13.02, IS 12.16, KL 2.78, FAD 1.50, KID 2.79e-3, Acc 96.04"),
            "base-25": sized("frieren", "2.6 M", WHOLE),
            "large-25": sized("large", "10 M", "IS 12.29, KL 2.76, FAD 1.36, KID 2.97e-3, Acc 95.16"),
        },
        opinions=True,
        note="The width of the field changes, at equal updates.",
    ),
    "table4": ResultTable(
        "Table 4: features",
        SAMPLED,
        {
            "same-25": RIVAL_ROWS["same-25"],
            "contrastive-4-25": flow("contrastive-4", 25, paper=f"CAVP: {WHOLE}"),
            "contrastive-10-25": flow("contrastive-10", 25),
            "contrastive-20-25": flow("contrastive-20", 25),
        },
        note="The first row has the encoder of the FoleyWorld models, which predicts the sound, at 25 Hz. The paper's "
        "MAViL at 2 Hz (FD 12.08, IS 12.17, KL 2.49, FAD 1.26, Acc 90.17) has no counterpart here.",
    ),
    "table5": ResultTable(
        "Table 5: the weight of the loss over t",
        SAMPLED,
        {
            "weighted-25": flow("weighted", 25, paper=WHOLE),
            "uniform-25": flow("uniform", 25, paper="FD 11.95, IS 12.20, FAD 1.25, KID 2.12e-3, Acc 97.04"),
            "same-25": RIVAL_ROWS["same-25"],
        },
        note="The last row draws t early (`loss.time`), as the models of this project do.",
    ),
    "ablations": ResultTable(
        "Ablations that the paper does not have",
        SAMPLED,
        {
            "same-25": RIVAL_ROWS["same-25"],
            "crossed-25": flow("crossed", 25),
            "joined-25": flow("joined", 25),
            "contrastive-4-25": flow("contrastive-4", 25),
            "repeated-4-25": flow("repeated-4", 25),
            "same-5": FEW_STEPS["same-5"],
            "same-reflow-5": flow("same-reflow", 5, 2.0),
            "same-reflow-plain-5": flow("same-reflow-plain", 5, 2.0),
            "same-1": FEW_STEPS["same-1"],
            "same-1step-1": flow("same-1step", 1, 2.0),
            "same-1step-alone-1": flow("same-1step-alone", 1, 2.0),
        },
        note="Cross-attention to the features, in the second attention of every block, against joined channels; two "
        "clips joined in a window against one; features at 4 Hz by time stamps against repeated eight times; reflow of "
        "the guided field against that of the plain one, which is guided when it is sampled; distillation with and "
        "without reflow before it. All with the budget of table 1.",
    ),
    "table9": ResultTable(
        "Table 9: the vocoder",
        ("vocoder",),
        {
            "frieren-25": ResultRow("foleyworld", Sampling(25), ("learned",)),
            "frieren-25-griffin-lim": ResultRow("foleyworld", Sampling(25, vocoder="griffin-lim"), ("Griffin-Lim",)),
            "diff-foley-25": ResultRow("diff-foley", Sampling(25), ("learned",)),
            "diff-foley-25-griffin-lim": ResultRow("diff-foley", Sampling(25, vocoder="griffin-lim"), ("Griffin-Lim",)),
            "same-25": ResultRow("frieren", Sampling(25), ("learned",)),
            "same-25-griffin-lim": ResultRow("frieren", Sampling(25, vocoder="griffin-lim"), ("Griffin-Lim",)),
        },
        note="The learned vocoder is refined by the Griffin-Lim iterations of its model's `config.json`.",
    ),
}
SPEED_ROWS = {
    "frieren-25": flow("foleyworld", 25, paper="0.288 s"),
    "reflow-5": flow("foleyworld-reflow", 5, paper="0.064 s (4.5 times)"),
    "distilled-1": flow("foleyworld-1step", 1, paper="0.031 s (9.3 times)"),
    "same-dopri5": flow("frieren", 25, solver="dopri5"),
    "ldm-25": flow("ldm", 25),
    "diff-foley-25": flow("diff-foley", 25, paper="2.10 s (7.3 times slower)"),
    "meanflow-1": RIVAL_ROWS["meanflow-1"],
    "specvqgan": RIVAL_ROWS["specvqgan"],
    "im2wav": ResultRow("im2wav", labels=("–", "own"), paper="minutes"),
}
CURVES = {"foleyworld": "Frieren", "foleyworld-reflow": "Frieren + R", "foleyworld-1step": "Frieren + R + D"}
PREFIXES = {"foleyworld": "frieren", "foleyworld-reflow": "reflow", "foleyworld-1step": "distilled"}
FIGURES: dict[str, Figure] = {
    "figure4": Figure(
        "Figure 4: steps",
        "steps",
        {title: {steps: f"{PREFIXES[name]}-{steps}" for steps in STEPS} for name, title in CURVES.items()},
        {f"{PREFIXES[name]}-{steps}": flow(name, steps) for name in CURVES for steps in STEPS},
        (IS, FAD, KL, F1, AP),
        note="Every system at its own guidance. Reflow and distillation are for the left side: few steps.",
    ),
    "figure5": Figure(
        "Figure 5: guidance",
        "guidance",
        {"Frieren, 25 steps": {gamma: f"guidance-{gamma:g}" for gamma in GUIDANCES}},
        {f"guidance-{gamma:g}": flow("foleyworld", 25, gamma) for gamma in GUIDANCES},
        (FD, FAD, IS, KL, ACC, AP),
        note="The paper finds FD, KL, KID and FAD best at 2 to 3, IS and Acc at 4 to 4.5.",
    ),
}

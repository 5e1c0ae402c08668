"""Addresses of the published files, as the two projects' front pages say.

Facts from github.com/cyanbx/Frieren-V2A and github.com/luosiallen/Diff-Foley, which state no licence of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

DRIVE = "https://drive.google.com/drive/folders/"
VOCODER = DRIVE + "11tg7VagVNvucNtQ8y0R4UJLIhEeR76oj"
AUTOENCODER = DRIVE + "11rtgLedRjT4lckud0BZQ083APIPnLGoe"  # by itself, for a flow checkpoint that lacks it
CAVP_REPOSITORY, CAVP_FILE = "SimianLuo/Diff-Foley", "diff_foley_ckpt/cavp_epoch66.ckpt"


@dataclass(frozen=True)
class Release:
    """One published model.

    Attributes:
        description: a line for lists.
        flow: the folder of its flow checkpoint, which should hold the mel autoencoder as well.
        steps: solver steps by default; each is two network evaluations, because of the guidance.
    """

    description: str
    flow: str
    steps: int


RELEASES = {
    "frieren": Release(
        "the authors' weights for VGGSound, 25 steps; fetched on first use",
        DRIVE + "1pzsVP5kXkTn5xzHWvZ4lurcinN4_Bg__",
        steps=25,
    ),
    "frieren-reflow": Release(
        "the authors' weights after reflow, 5 steps; fetched on first use",
        DRIVE + "1pzMLB66DggC3IaVEREnjrFrzwdpR-A4y",
        steps=5,
    ),
    "frieren-distilled": Release(
        "the authors' weights after reflow and distillation, 1 step; fetched on first use",
        DRIVE + "1q-JjBkEdBpBvPhTHl-bdKP6BqYGWiewc",
        steps=1,
    ),
}

"""How the signal of a Gaussian diffusion falls: plain numbers, for the schedulers and for a network that begins there.

There are 1,000 times k; the squared signal a_k falls as in latent diffusion models (arXiv 2112.10752).
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from operator import mul

TIMES = 1000  # of the diffusion
FIRST_BETA, LAST_BETA = 0.00085, 0.012  # between which the square roots are equally spaced


@cache
def squared_signal() -> tuple[float, ...]:
    """The squared signal a_k of every time; that of the noise is 1 - a_k."""
    first, last = FIRST_BETA**0.5, LAST_BETA**0.5
    betas = ((first + (last - first) * k / (TIMES - 1)) ** 2 for k in range(TIMES))
    return tuple(accumulate((1 - beta for beta in betas), mul))

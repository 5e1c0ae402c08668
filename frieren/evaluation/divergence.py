"""The divergence of a generated sound's classes from the true sound's: KL, also called KLD and MKL; lower is better.

sum over classes of p_ref (ln p_ref - ln(p_gen + epsilon)), natural logarithm. With epsilon 1e-6 as audioldm_eval and
SpecVQGAN do, without it as av-benchmark does. The epsilon caps -ln p at 13.8: nothing for PANNs, much for a network
that is sure (4.64 for 6.67), and it makes identical sounds slightly negative (-2.5e-5).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from frieren.evaluation.frechet import blocks

Over = Literal["softmax", "sigmoid"]


def kl_divergence(
    reference: np.ndarray,
    generated: np.ndarray,
    reference_of: np.ndarray,
    *,
    over: Over = "softmax",
    epsilon: float = 1e-6,
) -> np.ndarray:
    """KL(reference || generated) of each generated file, [N]; the score is their mean.

    Args:
        reference: logits [R, K].
        generated: logits [N, K].
        reference_of: [N] the row of `reference` that each generated file belongs to.
        over: "softmax", or "sigmoid": the other number that audioldm_eval prints. That is the first term alone of a
            sum of two-class divergences; it can be negative and is no divergence.
        epsilon: added to the generated probability.
    """
    from scipy.special import log_expit, log_softmax

    log = {"softmax": lambda logits: log_softmax(logits, axis=1), "sigmoid": log_expit}[over]
    values = np.empty(len(generated))
    for part in blocks(len(generated)):
        true = log(reference[reference_of[part]].astype(np.float64))
        made = log(generated[part].astype(np.float64))
        if epsilon:
            made = np.log(np.exp(made) + epsilon)
        values[part] = (np.exp(true) * (true - made)).sum(axis=1)
    return values

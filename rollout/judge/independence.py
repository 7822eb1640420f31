"""Is each request a draw of its own? An anytime-valid test of what the proof of a split assumes.

The null hypothesis is that the versions that answer are independent draws of one distribution, whichever it is. Against
it stands that a request's version depends on the one before it (connections that stick, turns taken in order).

The evidence is a ratio of probabilities that are given to the labels seen, each after the first given the one before it:

    E = ∏_a ∫ ∏_b q_b^n(a,b) dJ(q)  /  ∏_b (n(·,b) / N)^n(·,b)

n(a,b) counts how often b came after a, N all of them. Above is a Markov chain whose rows are mixed by Jeffreys' prior
(Dirichlet with all parameters ½; predicting with it is Krichevsky and Trofimov's rule, 1981). Below is the greatest probability
that any independent draws could give. Under the null the true distribution gives no more than that, so E is never more than a
martingale that begins at 1: it reaches 1/r at any time with probability at most r (Ramdas, Ruf, Larsson and Koolen 2021; Ville
1939). For two labels E is a function of how often each came and of the number of runs: Wald and Wolfowitz's runs test (1940), sequential.

It sees dependence between neighbours, not a share that drifts slowly, and none where one version has all requests.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping


def log_evidence(transitions: Mapping[tuple[str, str], int]) -> float:
    """ln E. Below 0 when independence explains the sequence better.

    Args:
        transitions: How often the second label came directly after the first. The labels are those that are named, also
            with 0 times. For two the bound on the risk is exact as it is; with more, name all that can come from the
            start, for the prior must not wait for what is seen.
    """
    labels = {label for pair in transitions for label in pair}
    arrivals: Counter[str] = Counter()
    for (_, after), times in transitions.items():
        arrivals[after] += times
    chain = sum(_log_row(tuple(transitions.get((before, after), 0) for after in labels)) for before in labels)
    total = arrivals.total()
    best = sum(times * math.log(times / total) for times in arrivals.values() if times)
    return float(chain - best)


def _log_row(times: tuple[int, ...]) -> float:
    """Ln of the Dirichlet integral of one row of the chain."""
    half = math.lgamma(0.5)
    size = len(times)
    return (
        sum(math.lgamma(count + 0.5) - half for count in times)
        + math.lgamma(size / 2)
        - math.lgamma(sum(times) + size / 2)
    )


def denied(transitions: Mapping[tuple[str, str], int], risk: float) -> bool:
    """Whether the sequence denies independence. Independent draws are denied, at any time, with probability at most `risk`."""
    return log_evidence(transitions) >= -math.log(risk)


def runs(transitions: Mapping[tuple[str, str], int]) -> int:
    """Unbroken series of one label. 0 when fewer than two answers were seen."""
    if not any(transitions.values()):
        return 0
    return 1 + sum(times for (before, after), times in transitions.items() if before != after)

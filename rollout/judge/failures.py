"""Does the new version fail more often than the old one? An anytime-valid comparison.

The null hypothesis is that the new version's rate of failures is at most the old one's, whatever the two are. By universal
inference (Wasserman, Ramdas and Balakrishnan 2020) the evidence is

    E = m(f_new, n_new) · m(f_old, n_old)  /  max { L(p_new, p_old) : p_new ≤ p_old }

with f failures among n requests of each. m(f, n) = B(f+½, n-f+½) / B(½, ½) is the probability of the failures in their order, mixed
over all rates by Jeffreys' prior; L is the probability at fixed rates. If the null is true, the true rates are among those of the
maximum, so E is never more than a martingale that begins at 1: it reaches 1/r at any time with probability at most r
(Ville 1939). Who decides which request goes to which version, and by what, cancels in the ratio: a weight may change meanwhile.

The maximum is at the two observed rates if they are in order; if not, it is where both are the rate of all requests together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rollout.judge.shares import RISK, Counts

if TYPE_CHECKING:
    from rollout.measurement import Tally


def log_evidence(new: Tally, old: Tally) -> float:
    """ln E. Below 0 when "no worse than the old one" explains the counts better, 0 where nothing was seen."""
    return float(log_evidence_of_counts(new.failures, new.requests, old.failures, old.requests))


def log_evidence_of_counts(
    new_failures: Counts, new_requests: Counts, old_failures: Counts, old_requests: Counts
) -> Counts:
    """ln E of plain counts, or of arrays of them for simulations."""
    import numpy as np  # noqa: PLC0415 - most commands compare nothing, and SciPy takes a while

    mixed = _log_mixed(new_failures, new_requests) + _log_mixed(old_failures, old_requests)
    apart = _log_best(new_failures, new_requests) + _log_best(old_failures, old_requests)
    together = _log_best(new_failures + old_failures, new_requests + old_requests)
    in_order = new_failures * old_requests <= old_failures * new_requests
    evidence: Counts = mixed - np.where(in_order, apart, together)
    return evidence


def _log_mixed(failures: Counts, requests: Counts) -> Any:
    from scipy.special import betaln  # noqa: PLC0415

    return betaln(failures + 0.5, requests - failures + 0.5) - betaln(0.5, 0.5)


def _log_best(failures: Counts, requests: Counts) -> Any:
    """Ln of the greatest probability that one rate gives: the observed one."""
    import numpy as np  # noqa: PLC0415
    from scipy.special import xlogy  # noqa: PLC0415

    successes = requests - failures
    all_of_them = np.maximum(requests, 1)
    return xlogy(failures, failures / all_of_them) + xlogy(successes, successes / all_of_them)


def fails_more(new: Tally, old: Tally, risk: float = RISK) -> bool:
    """Whether the new version is proven to fail more often. One that does not is accused with probability at most `risk`, ever."""
    return log_evidence(new, old) >= -math.log(risk)

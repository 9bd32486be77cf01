"""How long a model alone takes for a request, on named hardware and software, without anybody else's.

closed_form   the formulas; the time of a prompt from a table of profiled sizes
profile       the coefficients of one model on one machine, their spread, their file format
published     the profiles of Narayanan et al. 2023, from `data/tables`;  store: those of the home
times         requests by one profile, with their ranges;  answer: one of them, with GPU seconds, energy, cost

samples       measured requests: read, what does not count left out;  recorded: the same of the ledger's calls
design        what a fit is made of, and when requests cannot tell
two_stage     the paper's fit;  fit: ours, with intervals;  denoise: the lower envelope of a noisy API

compare       recorded calls: raw, denoised and idealized side by side;  frontier: quality against what it takes
"""

from __future__ import annotations

from joulebook.accounting.errors import MissingExtra

try:
    import numpy as np
    import scipy
except ModuleNotFoundError as error:
    if error.name not in {"numpy", "scipy"}:
        raise
    raise MissingExtra("the idealized runtime", "models") from error

del np, scipy

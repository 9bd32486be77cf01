"""What a portfolio of AI may come to by 2030 and 2035: from requests of today, along a scenario, with its range.

    portfolio    use cases: who asks how often for what; a file, the paper's 100, or (history) the ledger's own
    engines      what their requests take today, by one engine or the best evidence for each;  paper2501   the study's
    base         the same for a year, by kind and region, with its range
    ramps        how a driver moves from year to year;  scenarios   the drivers, their sources and ranges, or your file
    vintages     hardware bought, kept and replaced: manufacture by vintage
    walk         from year to year: requests × energy of each × grid, + manufacture; on floats and on arrays alike
    outcome      the walk at the central drivers and at draws of them: P5, P50, P95;  money   what it costs
    sensitivity  which driver matters: one at a time, and Sobol's indices;  compare   engines and study, side by side
    ask          one question, and its whole answer

Amounts are for a year. An index is against the base year, in which it is 1.
"""

from __future__ import annotations

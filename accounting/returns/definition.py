"""The definition of Return on Environment as it is printed and cited. RETURN_ON_ENVIRONMENT.md is this text."""

from __future__ import annotations

VERSION = "1.0"

TEXT = """\
# Return on Environment: a definition

Version 1.0, 2026-11. This definition is joulebook's own. No standard defines the term: the paper that calls for it in
corporate AI (Desroches et al., arXiv 2501.14334) gives no numerator, no denominator and no example. It may be cited
as "Return on Environment, joulebook definition 1.0". `joulebook roe` works it out.

## What it says

For a use case u, a criterion X and a period T:

- **C, caused**: all first-order impacts: operation, manufacture, training, storage, network. Attributional and
  location-based; the market-based account is told beside it and enters no return. Above 0.
- **B, gross second-order effect**: the activity's impacts without AI minus with it, for the same function within the
  same boundary, the AI system left out. Consequential: marginal factors where the change is marginal. It may be
  negative.
- **ρ, rebound**: the part of B that comes back as more activity. 0 none, 1 all, above 1 backfire.
- **a, attribution**: the share of the effect among all who brought it about; together at most 1.
- **θ, persistence**: the part of the effect of a year that would not have happened anyway by then.
- **A, attributed benefit** = Σ over the years of a × θ × (1 − ρ) × B
- **N, net** = A − C
- **RoE, Return on Environment** = **(A − C) ÷ C**, without unit

−1: no evidenced benefit. 0: break-even. 1: two avoided for each one caused. Beside it stand the benefit-caused ratio
A ÷ C, and N in kg, because a ratio hides the scale.

- **A portfolio** is the ratio of sums, (ΣA − ΣC) ÷ ΣC, over *all* use cases, those with A = 0 among them. Never a
  mean of ratios, never a choice of the best. To split a use case changes nothing; one more without benefit lowers it.
- **Criteria** are a vector (climate change, primary energy, minerals and metals, water) and are never netted against
  each other. The verdict is that of the weakest; N within 5 % of C is neither gain nor loss.
- **Environmental payback**: what was caused up front ÷ (A − C of a year); never, where that is not above 0.
- **Break-even intensity**: the carbon intensity of the grid at which N = 0.
- **Uncertainty**: C, B, ρ, a and θ are drawn together; a grid that C and B share is drawn once. P5, P50 and P95 of N
  and of A ÷ C, and P(N > 0). Ratios are made draw by draw; means are never divided.

## Nothing without evidence

A is 0 until there is a claim on record: function and unit, reference scenario and why, timeframe and data vintage,
method, share and its key, rebound and its source, persistence and its reason, average or marginal factors, author,
reviewer, date, and a hash of the content. Its class follows by rule and is set by nobody:

- **supported**, may be published: P5(N) > 0; evidence of tier 1 (a measured pair of runs) or 2 (a pair whose energy is
  modelled from counters, or a documented comparison: controlled, or before and after); reference, rebound and
  persistence assessed; signed by a reviewer who is not the author.
- **plausible**, for internal use only: P50(N) > 0, with a reference and some evidence, but modelled, of tier 3, or
  without something of the above.
- **unsupported**: otherwise. It counts as 0.

A claim that harms (A below 0) counts in any class. A rebound or persistence that nobody assessed is anything from 0 to
1. N is the use case's: its claims together against all that it caused, whole. The shares of all who claim one effect at
one time are at most 1; a claim that breaks this is refused. Days that have not come yet count nothing.

**Apart from the inventory.** Avoided emissions reduce no scope 1, 2 or 3 and no SCI score. Market instruments reduce
neither. The reference decarbonises with the same grid as C.

## In money, apart

Carbon productivity V ÷ C; carbon per value C ÷ V; climate value Σ SCC × N ÷ (1 + r)^(t − t₀) at a stated social cost
and its own discount rate; carbon-adjusted return on investment (V − K − pC + pA) ÷ K at no price, the organisation's
own and a social cost; abatement cost (K − V) ÷ N where N is above 0, else "no abatement". V: value; K: cost without
carbon; p: price of carbon. They change nothing physical.

## Worked

C 12, B 60, ρ 0.2, a 0.5: A 24, N 12, RoE 1.0. C 5, B 0: N −5, RoE −1. Both together: RoE 7 ÷ 17 = 0.4118 (the mean
of ratios would say 0). C 10, B 8, ρ 0.3: A 5.6, RoE −0.44. With ρ 1.3: A −2.4, N −12.4, RoE −1.24. N of 7 t at
230 USD/t: 1,610 USD. V 100,000, K 60,000, p 230, C 17, A 24: (100,000 − 60,000 − 3,910 + 5,520) ÷ 60,000 = 0.6935.

## Where it comes from

Prior uses of the words, none of them this: "Return on Environment" studies of land conservation (south-eastern
Pennsylvania 2011; Kittatinny counties 2016 to 2019) put a money value on open space; Return on Carbon Investment sets
money saved against the cost of measures; social return on investment (SROI) sets the present value of social benefits
against inputs.

What it follows:

- ITU-T L.1480 (2022): first-, second- and higher-order effects; screening is not for public claims; no cherry-picking.
- WBCSD, Guidance on Avoided Emissions (2023): gates, reference scenario, reporting apart from inventories.
- WRI and GHG Protocol, comparative emissions impacts of products (2019): consequential methods for decisions.
- European Green Digital Coalition, Net Carbon Impact methodology (2024): both signs, one boundary.
- Carbon handprint (VTT and LUT, 2018, 2021): handprint and footprint are two indicators and are never netted.
- GHG Protocol, Scope 2 (2015) and Scope 3; ISO/IEC 21031 (SCI): what the inventory is, and that avoided emissions are
  no part of it.
- Kaack et al. (2022), Ligozat et al. (2022): computing, application and system layers; only both sides show usefulness.
"""

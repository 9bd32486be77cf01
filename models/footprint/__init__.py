"""What a call to somebody else's model used: the provider will not say, so several engines answer side by side.

    call        a request as its usage says, and the one formula: per call, per input, cached and output token
    place       the grid that the call is assessed on, each of its factors with its id
    answer      what one engine says;  spread   how far they are apart
    ecologits   EcoLogits' published formula;  mixes   its grids, as one source of factors
    ecocost     ecocost's, asked through the package
    epoch       Epoch AI's, for the models that it worked out
    disclosed   what providers have said themselves
    roofline    open models on the usual hardware, over a range of batches
    own         measured J/token of one's own server
    engines     all of them, listed once

An engine that models a call says what its tokens use as `Rates` of IT energy and of manufacture. From there on all go
the same way, through the formulas of `joulebook.accounting` and the same grid: what then differs is the engines.
"""

from __future__ import annotations

from joulebook.models.footprint.answer import Footprint
from joulebook.models.footprint.call import Call
from joulebook.models.footprint.engines import ENGINES, footprints, place_for
from joulebook.models.footprint.place import Place, place_at
from joulebook.models.footprint.spread import Answer, Spread

__all__ = ["ENGINES", "Answer", "Call", "Footprint", "Place", "Spread", "footprints", "place_at", "place_for"]

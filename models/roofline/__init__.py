"""The roofline: seconds, joules and dollars of a model on hardware that nobody measured it on.

    cards, config_json, catalogue   what a model is made of: typed, from a `config.json`, or one of the table
    hardware, precision             what a device can do, and in how many bytes numbers are kept
    step                            one pass over the layers: its FLOP and bytes, and what holds it up
    memory                          what fits, and the fewest GPUs
    stacks, power                   fitted constants of serving software; where a GPU's energy goes
    estimate                        a load on a setup: prefill and steps together, with ranges
    fit                             constants from measurements, and how wide a range must be

`benchmarks/roofline.py` fits the constants and holds them against what they have not seen.
"""

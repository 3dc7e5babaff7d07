"""Designs that lost, each with its reason and the means to see it: ``python -m benchmarks run rejected``.

Each file holds one design. Its ``REASON`` is the paragraph that benchmarks/README.md shows above the figures that
``run`` takes, the design that won beside it.
"""

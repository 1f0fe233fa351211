"""Faults of a step."""

from __future__ import annotations

from dataclasses import replace

from wharfinger.steps import compress


def turns_inputs_round() -> None:
    """A step hands its outputs on from the last to the first."""
    honest = compress.STEP.run
    compress.STEP = replace(compress.STEP, run=lambda inputs, *more: honest(inputs[::-1], *more))

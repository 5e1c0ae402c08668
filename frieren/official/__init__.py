"""The published checkpoints: how they are fetched, read without running code, and become ours.

frieren weights fetch frieren-reflow
frieren weights convert --flow F.ckpt --vocoder DIR --cavp C.ckpt OUT

`scorers` has the reference models of published evaluations; no model needs them to generate.
"""

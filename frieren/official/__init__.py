"""The published checkpoints: how they are fetched, read without running code, and become ours.

frieren weights fetch frieren-reflow
frieren weights convert --flow F.ckpt --vocoder DIR --cavp C.ckpt OUT

`judges` has the networks that published evaluations look through; models do not need them.
"""

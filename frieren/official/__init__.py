"""The published checkpoints: how they are fetched, read without running code, and become ours.

frieren weights fetch frieren-reflow
frieren weights convert --flow F.ckpt --vocoder DIR --cavp C.ckpt OUT
"""

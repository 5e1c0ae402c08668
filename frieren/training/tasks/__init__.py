"""Tasks: for each part, what a batch is, its losses, and how it is validated.

`encoder` (or `contrast`, the part "cavp"), `autoencoder`, `vocoder` and `field` make a model; `alignment` and `tagger`
score one; `classification` and `adversary` are losses that several of them share.
"""

"""Training: one loop, one recipe per part, checkpoints that resume to the digit.

`recipe` reads what a run is, `data` renders and holds what it learns from, `loop` runs it; each part of the model says
in its own file what a batch is and which losses it has: `encoder`, `autoencoder`, `vocoder`, `field`. `run` trains one
part or all of them, and puts the trained parts into a model folder.
"""

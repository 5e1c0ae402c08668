"""Training: one loop, one recipe per part, checkpoints that resume to the digit.

`recipe` reads what a run is, `data` renders and holds what it learns from, `loop` runs it; each part says in its own
file what a batch is and which losses it has: `encoder` (or `contrast`, the part "cavp"), `autoencoder`, `vocoder` and
`field` make a model, `alignment` and `tagger` judge one. `run` trains one part or all of them, and puts the trained
parts into a model folder.

Under the loop are `machines` (processes and devices), `learner` (a network on them, its optimiser, one step),
`checkpoint` (a run's state on disk), `randomness` (seeds) and `board` (TensorBoard, Weights & Biases).
"""

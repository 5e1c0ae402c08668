"""Measure and report: what the model's sound is worth, always beside a ceiling and a control.

run       two folders of sounds -> a report; what `frieren evaluate` does
protocol  which files are compared, how they are heard, and every setting of a preset
hearing   files -> features, through `cache`, by the networks of `extractors` or of who else has some
judges    networks that look and listen at once, `alignment` among them
scores    features -> scores: `frechet` (FD, FAD), `inception` (IS), `divergence` (KL), `kernel` (KID), `intervals`
report    the scores and what they hang on, as JSON, Markdown and a table
onsets    when something is struck: an onset detector, and the optimal matching of two lists of instants
timing    does the sound strike when the picture does: the protocol on FoleyWorld clips of visible impacts
pictures  the same to look at: motion energy, true and generated mel, true instants marked
"""

"""Measure and report: what a model's sound is worth, always beside a ceiling and a control.

Two folders of sounds -> a report:

run         decode every file, run the scorers, score; what `frieren evaluate GENERATED REFERENCE` does
protocol    which files are compared, how they are decoded, and every setting of a preset
report      the scores and what they depend on, as JSON, Markdown and a table
scores      features -> scores, with intervals, warnings and baselines
frechet     FD and FAD: the Fréchet distance
inception   IS: the inception score
divergence  KL: the divergence of the classes
kernel      KID: the kernel distance
intervals   95 %: bootstrap, jackknife, Wilson, with whole videos as the unit
pictures    motion and mels with onsets marked, two mels side by side, a score against steps or guidance

Rooms of their own:

scorers/    reference networks and their features: PANNs, VGGish, CLAP, ImageBind, Synchformer, alignment classifiers
timing/     onsets: detection, matching, scores beside ceiling and chance
listening/  listening tests as web pages, and their statistics
foleyworld/ the benchmark: everything by which the shipped models are judged
"""

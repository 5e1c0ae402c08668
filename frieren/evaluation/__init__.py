"""Measure and report: scores of generated sounds, always with a ceiling and a control.

Two folders of sounds -> a report:

run         features of every file, then all scores; what `frieren evaluate GENERATED REFERENCE` does
protocol    which files are compared, how they are decoded, and every setting of a preset
report      the scores and what they depend on, as JSON and Markdown
scores      features -> scores, with intervals, warnings and baselines
agreement   scores of sounds with their videos, and of controls
paired      a score of generated sounds with that of the reference sounds
frechet     FD and FAD: the Fréchet distance
inception   IS: the inception score
divergence  KL: the divergence of the classes
kernel      KID: the kernel distance
intervals   95 %: bootstrap, jackknife, Wilson, with whole videos as the unit
pictures    motion and mels with onsets marked, a score against steps or guidance, scores by group
tables      Markdown tables that read well in a terminal and in a pipe

Rooms of their own:

scorers/    reference networks and their features: PANNs, VGGish, CLAP, ImageBind, Synchformer, alignment classifiers
timing/     onsets and levels: detection, matching, scores with ceiling and chance
listening/  listening tests as web pages, and their statistics
foleyworld/ the benchmark: everything by which the shipped models are compared
"""

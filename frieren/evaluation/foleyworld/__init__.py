"""The benchmark of FoleyWorld: every number by which the shipped models are compared, by one command.

frieren evaluate foleyworld OUT

Models and clips of `test` -> sounds -> measurements -> scores -> a report:

takes        a model's sounds for the clips, each generated once and kept as a file
observed     detector, classifier and tagger on every clip's own sound and on every model's
fitting      alignment with the video, and kind
resynthesis  the vocoder and Griffin-Lim
benchmark    all of it in order
aims         what is required of a model besides its timing
report       JSON, tables and plots

On FoleyWorld as well:

quality      the scorers themselves, on reference sounds
sweep        a model's timing against solver steps or guidance
"""

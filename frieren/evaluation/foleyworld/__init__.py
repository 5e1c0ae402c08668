"""The benchmark of FoleyWorld: every number by which the shipped models are judged, by one command.

frieren evaluate foleyworld OUT

Models and clips of `test` -> sounds -> what is heard in them -> scores -> a report:

takes        a model's sounds for the clips, each made once and kept as a file
observed     what detector, classifier and tagger say of every clip's own sound and of every model's
struck       when it strikes: onset F1 beside the true sound, chance, and the sounds of foreign clips
fitting      whether it fits the picture, and what it is taken for
beside       a score beside that of the true sounds: their ratio, or difference, with an interval; and groups of clips
resynthesis  the vocoder beside Griffin and Lim
real         real clips, which are the user's own
benchmark    all of it in order
aims         what is asked of a model, and whether it is met
report       JSON, tables and pictures
"""

"""Measure and report: what the model's sound is worth, always beside a ceiling and a control.

onsets    when something is struck: an onset detector, and the optimal matching of two lists of instants
timing    does the sound strike when the picture does: the protocol on FoleyWorld clips of visible impacts
pictures  the same to look at: motion energy, true and generated mel, true instants marked
"""

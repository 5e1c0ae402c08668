"""Timing: does the sound start when the picture does?

onsets     an onset detector, and the optimal matching of two lists of onsets
scores     scores of pairs of sounds, beside ceiling and chance
scorer     the same as rows of a report, of files
ranking    onsets from the strongest down: average precision
envelope   how loud a sound is over time, and how similar two such curves are
chance     onsets that know nothing of the video
clipsets   clips of FoleyWorld that timing can be measured on
impacts    the protocol on visible impacts
steady     the protocol on visible rain, engines and wind
"""

"""Scorers: reference networks that listen, or look and listen, and the features they make.

features    files -> features: front end, one decoding for all networks
cache       features on disk, by content of the file, network and settings
extractors  networks that hear a wave: PANNs, VGGish, FoleyWorld's tagger
scorer      networks that look and listen at once, by name, and how other packages add theirs
alignment   two of those: FoleyWorld's classifier and Diff-Foley's
synchrony   DeSync: Synchformer
imagebind   ImageBind, by the user's own package
clap        CLAP, by a model of the user's
captions    what CLAP compares a sound with, found beside the video
spectra     spectrograms as published networks take them
resampling  torchaudio's default resampler
"""

"""Scorers: reference models of sound, or of sound and video, and their features.

features    files -> features: front end, one decoding for all networks
cache       features on disk, by content of the file, network and settings
extractors  networks that take a wave: PANNs, VGGish, FoleyWorld's tagger
scorer      what every network that takes video and sound does, and its scores on disk
catalogue   those networks by name, and how other packages add theirs
alignment   FoleyWorld's classifier and Diff-Foley's
synchrony   DeSync: Synchformer
imagebind   ImageBind, by the user's own package
clap        CLAP, by a model of the user's
captions    what CLAP compares a sound with, found beside the video
spectra     spectrograms as published networks take them
resampling  torchaudio's default resampler
"""

"""Measure and report: what the model's sound is worth, always beside a ceiling and a control.

Two folders of sounds -> a report:

run         hear every file, ask the judges, score; what `frieren evaluate GENERATED REFERENCE` does
protocol    which files are compared, how they are heard, and every setting of a preset
report      the scores and what they hang on, as JSON, Markdown and a table
scores      features -> scores, with intervals, warnings, and what stands beside them
frechet     FD and FAD: the Fréchet distance
inception   IS: the inception score
divergence  KL: the divergence of the classes
kernel      KID: the kernel distance
intervals   95 %: bootstrap, jackknife, Wilson, with whole videos as the unit

What networks hear:

hearing     files -> features: front end, one decoding for all networks
cache       features on disk, by content of the file, network and settings
extractors  networks that hear a wave: PANNs, VGGish, FoleyWorld's tagger
judges      networks that look and listen at once, by name, and the door for those of other packages
alignment   two such judges: FoleyWorld's classifier and Diff-Foley's
quality     how good the two judges of FoleyWorld are
foleyworld/ the benchmark: all by which the shipped models are judged, from their sounds to the aims
synchrony   DeSync: Synchformer
imagebind   ImageBind, by the user's own package
clap        CLAP, by a model of the user's
captions    what CLAP holds a sound against, found beside the video
spectra     spectrograms as published networks take them
resampling  torchaudio's default resampler

Timing measured directly:

timing      scores of pairs of sounds, beside ceiling and chance
timekeeping the same as rows of the report, of files
onsets      when something is struck: a detector, and the optimal matching of two lists of instants
ranking     onsets from the strongest down: average precision
envelope    how loud a sound is over time, and how alike two such curves are
chance      instants that know nothing
condfoley   CondFoleyGen's onset scores with all that is odd in them, for published numbers
clipsets    clips of FoleyWorld that timing can be measured on
impacts     the protocol on visible impacts
steady      the protocol on visible rain, engines and wind
sweep       onset F1 against solver steps and guidance

People, and pictures:

listening   a listening test as a web page
mos         what the listeners said, with intervals
pictures    motion and mels with onsets marked, two mels side by side, a score against steps or guidance
"""

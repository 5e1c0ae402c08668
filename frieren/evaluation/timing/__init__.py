"""Timing: are onsets and levels of a sound where they should be?

protocol        windows and shifts; what is measured of a sound and known of its reference
onset_detector  the detector, and the optimal matching of two lists of onsets
ranking         onsets from the strongest down: average precision
envelope        level over time, and the correlation of two levels
pooled          a score over many clips, with ceiling and chance
onset_scores    onsets and levels of pairs of sounds, scored
report_rows     the same as rows of a report, of files
clipsets        clips of FoleyWorld on which timing can be measured
by_kind         onset F1 of a model by kind, with chance and mismatched videos
aims            what is required of it
impacts         a model on clips of visible impacts
steady          a model on clips of visible rain, engines and wind
"""

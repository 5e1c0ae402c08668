"""The paper's tables and figures, measured: what `frieren reproduce` does.

systems     which systems there are, the recipes that train them, and the model folder of each
tables      the rows of every table and the curves of every figure, with the paper's figures
clips       the clips of a test split: videos, reference sounds, and what decides about them
cells       a row measured: sounds made, scored by `evaluate`, kept as JSON
speed       time per sample of several systems, in turns
differences a score of two systems, for the same videos
claims      the paper's claims, each checked by a difference and its interval
page        all of it as Markdown and plots
"""

"""Datasets: videos, a table of them, or FoleyWorld -> shards on disk, and the order in which training reads them.

sources     folder, table or world -> a list of items
recordings  folders of sound files -> recordings with categories, splits and onsets
prepare     items -> frames, features and mels in shards; what `frieren prepare` does
scatter     work over processes or a Ray cluster
packing     arrays -> shards
shards      shards -> items at random, memory-mapped
order       which item comes when, over epochs and processes
"""

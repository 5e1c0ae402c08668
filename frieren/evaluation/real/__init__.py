"""Real clips, which are the user's own: cue sheets and generated sounds by instants that are known.

frieren evaluate real FOLDER

clips        a folder's manifest: what strikes when, what counts, what is seen
counts       times -> F1, one to one, over any clips
baselines    what needs no eyes or little: circular shifts, metronomes, falls of the frame difference
measure      cue sheets and models on all clips
report       one table of timing, one of categories; JSON
"""

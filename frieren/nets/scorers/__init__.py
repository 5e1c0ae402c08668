"""Networks that score sounds: the published reference models, and FoleyWorld's own tagger and alignment classifier."""

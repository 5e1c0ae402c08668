"""The verb `bench`: training, generation and FoleyWorld, each against what this machine can do."""

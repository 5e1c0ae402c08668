"""The verb `generate`: options, the files that are read and written, the batch, records and their replay."""

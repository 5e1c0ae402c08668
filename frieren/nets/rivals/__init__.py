"""Networks of the systems that the paper compares with (docs/rivals.md); their parts come from the extra `rivals`."""

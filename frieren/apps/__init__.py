"""What a person meets: the command line. Each verb parses, calls one function of the package, and prints."""

import time

STARTED = time.perf_counter()  # seconds, when this process began, as far as its user waits for it

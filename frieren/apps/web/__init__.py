"""What the command line puts on HTTP: the service and the studio."""

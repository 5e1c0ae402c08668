"""What a person meets: the command line. Each verb parses, calls one function of the package, and prints."""

"""The command line of Franking, built on the library's public surface only."""

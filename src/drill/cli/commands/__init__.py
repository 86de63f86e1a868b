"""One file per subcommand; each has one click command called ``command`` and is imported when it runs."""

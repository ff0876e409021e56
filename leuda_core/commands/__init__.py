"""What the subcommands of ``leuda`` do. Each takes the parsed arguments and returns a ``Result``; none prints."""

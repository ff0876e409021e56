"""The subcommands of ``leuda``. Each takes the parsed arguments and returns a ``Result``; none prints."""

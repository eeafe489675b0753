"""One module a subcommand: options in, one call into the package, words out."""

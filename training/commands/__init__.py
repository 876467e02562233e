"""The commands of the command line; each module's COMMANDS are functions that add the flags and run the command."""

"""The commands, a module for each group that shares imports."""

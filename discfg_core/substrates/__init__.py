"""The two stores that come with discfg: the memory of a process, and a SQLite file."""

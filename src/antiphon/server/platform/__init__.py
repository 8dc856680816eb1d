"""The platform in one process: its settings, its roles, and how they start and stop.

`load_settings` reads the settings, `Platform` runs the roles they ask for, `check` says what is missing before that.
"""

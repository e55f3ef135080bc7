"""What each command does, once its options are parsed.

A command imports its action when it runs, so that ``--help`` and completion need none of what it imports.
"""

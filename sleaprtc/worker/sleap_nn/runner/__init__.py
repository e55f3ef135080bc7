"""The program that trains, run by the interpreter in which sleap-nn lives.

That interpreter has its own packages, so that nothing here imports more than the standard library and what
sleap-nn brings, nor anything of sleaprtc outside of this folder. ``start.py`` is the file that is run.
"""

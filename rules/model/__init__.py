"""Make before break, proved: every order of events that a change can run in, and the shortest of them that answers 503.

Pure, and fast enough for every change: versions do not wait for each other's events, so each is searched for itself.
docs/make-before-break.md has what is modelled, from which source, and what is not.
"""

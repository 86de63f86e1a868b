"""Training of people: a blind session as a pure state machine, its grading, hints, phases and debrief.

Nothing here has a clock, a process or a socket: time comes in as an argument, what was seen comes in as events.
"""

"""Training on a real target: who conducts a session, both sides' terminals, the shell, the debrief's files."""

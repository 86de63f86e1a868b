"""The agent's part that serves a whole node: it finds containers and holds, measures and removes at all of them.

Runs in a helper pod with the node's process ids (or in an ephemeral container, for its own pod alone). Standard
library only, as all of the agent.
"""

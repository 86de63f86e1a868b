"""A plan: a scenario compiled for one target, with prediction and price. Pure; executing it is the engine's."""

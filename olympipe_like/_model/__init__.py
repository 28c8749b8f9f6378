"""Values that cross boundaries: frames, events, commands, the shape of a run. Imports nothing of ours."""

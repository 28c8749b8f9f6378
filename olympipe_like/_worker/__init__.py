"""All that a worker loads: start-up, the loop, applying one segment to one frame."""

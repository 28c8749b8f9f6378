"""What a run shows of itself: its bottleneck, its report, its progress.

Reads snapshots (`_model.stats`). Does not gather them, and knows no worker, frame or socket.
"""

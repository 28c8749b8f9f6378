"""What a pipeline is before it runs: operators as frozen data, the graph, its checks, its fusion into segments."""

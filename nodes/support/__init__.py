"""What the nodes share: the host, its models, inputs and checks. Each node has a file of its own one folder up."""
